"""`probatum chat`: talk with a language model; every answer has a receipt.

Asking is `texting`, the conversation `chatting`.
"""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter
from cyclopts.validators import Number

from probatum.cli.asking_text import check_words
from probatum.cli.chatting import Conversation
from probatum.cli.connecting import connect
from probatum.cli.drawing import DRAWING, Drawing
from probatum.cli.output import note
from probatum.cli.settings import DEFAULTS, Common
from probatum.cli.spending import NOTHING, Spend
from probatum.cli.texting import Asking, open_language
from probatum.errors import Refusal

app = App(name="chat", help="Talk with a language model; every answer has a receipt.")


@app.default
def chat(
    model: Annotated[str, Parameter(help="NAME, or NAME@VERSION; the newest if absent.")],
    /,
    *,
    system: Annotated[
        str | None, Parameter(help="The system's message; else what the model's template says.")
    ] = None,
    node: Annotated[
        str | None,
        Parameter(help="Account of the one operator who may answer; nobody else is asked."),
    ] = None,
    timeout_s: Annotated[
        int,
        Parameter(help="How long to wait for an answer, in seconds.", validator=Number(gte=1)),
    ] = 280,
    drawing: Drawing = DRAWING,
    spend: Spend = NOTHING,
    common: Common = DEFAULTS,
) -> None:
    """Talk with a language model. Answers are shown as they are written, and their receipts kept.

    Each answer is checked before its evidence line is shown: signatures, who handed over to whom,
    that the tokens are those of the receipt. That they are the ones that rule and weights
    determine is what /recheck finds out, here, once the model is fetched. Without a terminal it
    reads lines; the first error ends it.

    Example: probatum chat smollm2 --temperature 0.3
    """
    if system is not None:
        check_words(system)
    language = open_language(common, model)
    if language.text.template is None:
        raise Refusal(
            "text.no-template",
            f"{language.name} brings no chat template",
            hint=f'have it go on with a text: probatum ask {language.name} --text "…"',
        )
    with connect(common, spend.make_rules(common), is_told=True) as client:
        asking = Asking(
            client=client, language=language, drawing=drawing, node=node, timeout_s=timeout_s
        )
        if not common.json:
            note(f"{language.name} {language.version}, package {language.package.hex()[:16]}…")
            note("/help says what else there is.")
        Conversation(common, asking, system).run()
