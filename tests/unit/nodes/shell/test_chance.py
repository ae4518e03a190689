from probatum.nodes.shell.chance import Chance


def test_every_step_gets_fresh_bytes_of_its_own():
    chance = Chance()
    drawn = [chance.draw() for _ in range(1_000)]
    assert {len(one) for one in drawn} == {32}
    assert len({one[:8] for one in drawn} | {one[-8:] for one in drawn}) == 2_000


def test_two_of_them_do_not_agree():
    assert Chance().draw() != Chance().draw()
