from avatar.turntaking.habit import Habit


def cut_off(habit: Habit, *pauses_ms: float) -> None:
    """One turn in which a reply came too early in each of these pauses."""
    for pause_ms in pauses_ms:
        habit.turn_over()
        habit.cut_off(pause_ms)
    habit.turn_over()


def test_long_pauses_alone_teach_nothing() -> None:
    habit = Habit()
    for _ in range(3):
        habit.went_on(900)
        habit.turn_over()
    assert habit.wait_ms == 0


def test_once_may_be_chance_however_often_in_one_turn() -> None:
    habit = Habit()
    cut_off(habit, 450, 600, 300)
    assert habit.wait_ms == 0


def test_two_turns_running_make_a_habit_and_one_without_ends_it() -> None:
    habit = Habit()
    cut_off(habit, 450)
    cut_off(habit, 700)
    assert habit.wait_ms == 1400
    habit.turn_over()
    assert habit.wait_ms == 0
    cut_off(habit, 450)
    assert habit.wait_ms == 0


def test_it_is_known_within_the_second_turn_and_renewed_by_pauses_that_were_waited_for() -> None:
    habit = Habit()
    cut_off(habit, 400)
    habit.turn_over()
    habit.cut_off(500)
    assert habit.wait_ms == 1000
    habit.turn_over()
    habit.went_on(300)
    habit.went_on(600)
    habit.turn_over()
    assert habit.wait_ms == 1200
