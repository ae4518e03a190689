"""The language models that a node serves, each with its engine (`TEXT-1`, `TEXT-2`).

Weights are mapped from the package's own file, not read. Must not know requests' custody.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from probatum.errors import Misuse, ProbatumError, Refusal
from probatum.hub.package import Package
from probatum.nodes.shell.computing import Done, More
from probatum.protocol.manifests import LanguageModel, Manifest, TextModel
from probatum.protocol.primitives import Digest
from probatum.protocol.tensors import Tensor
from probatum.protocol.texts import Text, make_answer, read_question
from probatum.runtime.text.cache import compute_cache_bytes
from probatum.runtime.text.engine import TextEngine, TextJob
from probatum.runtime.text.requests import TextAnswer, TextLimits, TextRequest, TextScore
from probatum.runtime.upstream.engine import UpstreamAnswer, UpstreamEngine, UpstreamJob

__all__ = ["LIMITS", "TextShelf", "weigh_text"]

LIMITS: Final = TextLimits()
"""What all engines of a node take on, each."""


def weigh_text(model: LanguageModel, tokens: int) -> int:
    """Compute the bytes that a text of so many tokens, prompt and limit, takes of an engine."""
    if not isinstance(model, TextModel):
        return 0  # another program's memory
    return compute_cache_bytes(model, tokens - 1)


class TextShelf:
    """Engines by package."""

    def __init__(
        self,
        packages: Mapping[Digest, Package],
        upstreams: Mapping[Digest, tuple[Manifest, UpstreamEngine]] | None = None,
        *,
        threads: int,
    ) -> None:
        """Open an engine for each language model among the packages.

        Args:
            packages: The node's; their bytes were checked.
            upstreams: Engines of those packages that other programs run; closed with the shelf.
            threads: That each engine computes with.

        Raises:
            Refusal: `text.wrong-weights`, `safetensors.bad-head`.
            Fault: `text.disk`, `canon.unsound-arithmetic`.
        """
        self._engines: dict[Digest, tuple[Manifest, TextEngine]] = {}
        self._upstreams = dict(upstreams or {})
        try:
            for digest, package in packages.items():
                manifest = package.manifest
                if manifest.text is not None:
                    weights = package.folder / manifest.model
                    engine = TextEngine(manifest, weights, threads=threads, limits=LIMITS)
                    self._engines[digest] = (manifest, engine)
        except BaseException:
            self.close()
            raise

    def write(
        self,
        package: Digest,
        tensors: tuple[Tensor, ...],
        nonce: bytes,
        prefix: tuple[int, ...],
        more: More,
        done: Done,
        *,
        top_logprobs: int | None = None,
    ) -> TextJob | UpstreamJob:
        """Begin a text.

        Raises:
            Refusal: `package.not-here`, `text.*`, `schema.*`.
            Fault: `text.closed`, `upstream.closed`.
        """
        if package in self._upstreams:
            return self._write_upstream(package, tensors, nonce, prefix, more, done, top_logprobs)
        known = self._engines.get(package)
        if known is None:
            raise Refusal("package.not-here", "this node does not have the package")
        manifest, engine = known
        question = read_question(manifest, tensors)
        request = TextRequest(
            prompt=question.prompt,
            limit=question.limit,
            temperature=question.temperature,
            top_k=question.top_k,
            choice=question.choice,
            nonce=nonce,
            prefix=prefix,
            top_logprobs=top_logprobs,
        )
        return engine.submit(request, more, _translate(done))

    def _write_upstream(
        self,
        package: Digest,
        tensors: tuple[Tensor, ...],
        nonce: bytes,
        prefix: tuple[int, ...],
        more: More,
        done: Done,
        top_logprobs: int | None,
    ) -> UpstreamJob:
        manifest, engine = self._upstreams[package]
        if prefix:
            raise Refusal(
                "text.wrong-prefix",
                "what another program chose cannot be checked, so nobody goes on with it",
                hint="have the text written from its beginning",
            )
        question = read_question(manifest, tensors)
        return engine.submit(question, nonce, more, _translate(done), top_logprobs=top_logprobs)

    def close(self) -> None:
        """End all engines."""
        for _, upstream in self._upstreams.values():
            upstream.close()
        for _, engine in self._engines.values():
            engine.close()


def _translate(
    done: Done,
) -> Callable[[TextAnswer | UpstreamAnswer | TextScore | ProbatumError], None]:
    def finish(outcome: TextAnswer | UpstreamAnswer | TextScore | ProbatumError) -> None:
        if isinstance(outcome, TextAnswer | UpstreamAnswer):
            done(make_answer(Text(ids=outcome.ids, ended=outcome.ended)))
        elif isinstance(outcome, TextScore):
            done(Misuse("text.wrong-outcome", "a text was asked for, and a score came"))
        else:
            done(outcome)

    return finish
