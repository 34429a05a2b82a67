from relay.broadcast import Broadcast


def test_whoever_listens_is_told_in_the_order_they_came() -> None:
    changed: Broadcast[str] = Broadcast()
    heard: list[str] = []
    with changed.listening(lambda what: heard.append(f"first {what}")):
        changed.send("a")
        with changed.listening(lambda what: heard.append(f"second {what}")):
            changed.send("b")
        changed.send("c")
    changed.send("d")
    assert heard == ["first a", "first b", "second b", "first c"]
