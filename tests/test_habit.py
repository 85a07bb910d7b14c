from avatar.turntaking.habit import Habit


def test_nothing_is_waited_for_before_a_reply_was_too_early() -> None:
    habit = Habit()
    habit.went_on(900)
    assert habit.wait_ms == 0


def test_a_cut_off_is_remembered_for_the_rest_of_its_turn_and_the_next() -> None:
    habit = Habit()
    habit.cut_off(450)
    assert habit.wait_ms == 900
    habit.turn_over()
    assert habit.wait_ms == 900
    habit.turn_over()
    assert habit.wait_ms == 0


def test_longer_pauses_renew_it_and_short_ones_do_not() -> None:
    habit = Habit()
    habit.cut_off(400)
    habit.turn_over()
    habit.went_on(700)
    habit.went_on(200)
    habit.turn_over()
    assert habit.wait_ms == 1400
    habit.went_on(300)
    habit.turn_over()
    assert habit.wait_ms == 0
