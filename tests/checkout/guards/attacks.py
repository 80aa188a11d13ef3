"""Every attack that docs/checkout.md names, and the guards without which it gets through: data alone."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.checkout.guards import Guard, pc, server

FILES = {
    "k": "tests/vrasnode/checkout/test_attacks.py",
    "t": "tests/vrasnode/checkout/test_killed_at_the_deadline.py",
    "s": "tests/checkout/test_attacks.py",
    "a": "tests/checkout/test_checkout_api.py",
    "d": "tests/checkout/test_directory_chains.py",
    "r": "tests/checkout/test_races.py",
}


@dataclass(frozen=True)
class Attack:
    """One case: `test` is its function, `which` the parameters. All `guards` have to be out at once."""

    file: str
    test: str
    guards: tuple[Guard, ...]
    which: str = ""

    @property
    def node(self) -> str:
        return f"{FILES[self.file]}::test_{self.test}{self.which and f'[{self.which}]'}"

    @property
    def id(self) -> str:
        return f"{self.file}: {self.test}{self.which and f'[{self.which}]'}: {self.guards[0].words}"

    @property
    def words(self) -> str:
        return " + ".join(guard.words for guard in self.guards)


def _in(file: str) -> Callable[..., Attack]:
    def attack(name: str, *guards: Guard) -> Attack:
        test, _, which = name.partition("[")
        return Attack(file, test, guards, which.removesuffix("]"))

    return attack


k, t, s, a, d, r = map(_in, FILES)
_OWN = (server.OWN, server.NOT_MEANT, server.OWN_ROW)
_OTHER_STATE = (server.WAITS, server.WAITS_STILL, server.ARROWS)

ATTACKS: tuple[Attack, ...] = (
    k("the_clock_set_back_while_it_is_open", pc.FLOOR),
    k("the_clock_set_back_while_it_is_off", pc.FLOOR),
    k("a_clock_set_back_is_believed_again_only_when_the_server_has_signed_the_time", pc.FLOOR),
    k("a_clock_that_stands_still", pc.RISES),
    k(
        "a_clock_held_just_above_the_floor_by_switching_off_is_ended_by_the_hours_that_it_is_on",
        pc.BUDGET,
    ),
    k("asleep_over_the_deadline", pc.ASKS_FIRST),
    k("the_agent_killed_at_the_deadline", pc.DEADLINE),
    k("the_servers_time_of_another_answer[another question]", pc.NONCE),
    k("the_servers_time_of_another_answer[another pc]", pc.TIME_FOR_US),
    k("the_servers_time_of_another_answer[another key]", pc.TIME_SIGNED),
    k("the_state_file_deleted[True]", pc.SLOTS_KNOWN),
    k("the_state_file_deleted[False]", pc.SLOTS_KNOWN),
    k("the_state_file_edited", pc.STATE_SIGNED),
    k("an_older_state_file_put_back", pc.STATE_COUNTED),
    k("the_whole_disk_put_back_after_the_return", pc.STATE_COUNTED, pc.HALF_DESTROYED),
    k("the_agent_is_not_asked_but_the_tpm_itself", pc.HALF_DESTROYED),
    k("the_disk_in_another_pc", pc.IN_THE_TPM),
    k("the_tpm_state_of_another_machine", pc.IN_THE_TPM),
    k("an_old_header_copied_back[True]", pc.SLOTS_KNOWN),
    k("an_old_header_copied_back[False]", pc.SLOTS_KNOWN),
    k("a_key_for_another[user-other_user]", pc.FOR_THE_USER),
    k("a_key_for_another[pc-other_pc]", pc.FOR_THE_PC),
    k("a_key_for_another[pc's key-other_pc]", pc.FOR_THE_PCS_KEY),
    k("a_key_for_another[volume-no_volume]", pc.FOR_THE_VOLUME),
    k("before_the_start", pc.START),
    k("after_the_end", pc.DEADLINE),
    k("picked_up_after_the_end", pc.NOT_OVER_YET),
    k("a_key_that_is_not_what_was_signed[stripped-bad_signature]", pc.SIGNATURE),
    k("a_key_that_is_not_what_was_signed[truncated-bad_signature]", pc.SIGNATURE),
    k("a_key_that_is_not_what_was_signed[period changed-bad_signature]", pc.SIGNATURE),
    k("a_key_that_is_not_what_was_signed[other key id-unknown_key]", pc.KEYRING),
    k("a_key_that_is_not_what_was_signed[other role-unknown_key]", pc.KEYRING),
    k("a_key_that_is_not_what_was_signed[written anew-not_canonical]", pc.CANONICAL),
    k("the_lease_key_was_rotated", pc.KEYRING),
    k("a_key_played_again_after_its_return", pc.SEEN_BEFORE, pc.ENDED_KEPT),
    k("an_older_key_than_the_newest", pc.SERIAL),
    k("two_keys_for_one_volume", pc.REPLACED),
    k("the_wrong_pin_until_it_ends", pc.TRIES),
    k("killed_before_the_answer_a_try_counts_all_the_same", pc.COUNTED_FIRST),
    k("the_tpm_counts_wrong_pins_too", pc.TPM_COUNTS),
    k("a_pin_that_is_guessed_at_once[7391526-pin_short]", pc.PIN_LENGTH),
    k("a_pin_that_is_guessed_at_once[12345678-pin_simple]", pc.PIN_ROW),
    k("without_a_tpm_nothing_is_taken_that_does_not_say_so", pc.NEEDS_TPM),
    k("the_file_of_a_software_tpm_put_back_is_the_stated_residual", pc.NEEDS_TPM),
    k("a_lost_pc_has_no_key", pc.WELCOME),
    t("the_agent_killed_at_the_deadline_leaves_nothing_to_who_waits[0.1]", pc.DEADLINE),
    s("nobody_approves_their_own_request_whatever_they_are", *_OWN),
    s("the_requester_does_not_decide_in_an_approvers_place", server.OWN, server.OWN_ROW),
    s("nobody_decides_in_the_requesters_place_when_that_is_an_approver", server.NOT_MEANT, server.PLACE_ROW),
    s("a_deputy_decides_on_their_days_only_and_never_in_a_deputys_place", server.DEPUTYS_DAYS),
    s("a_deputy_decides_on_their_days_only_and_never_in_a_deputys_place", server.ONE_REMOVE),
    s("a_chain_that_leads_to_the_requester_takes_no_request", server.OWN_CHAIN),
    s(
        "a_pc_that_changes_its_group_in_between_takes_no_approval_of_the_old_one",
        server.SAME_GROUP,
        server.SAME_GROUP_STILL,
    ),
    s("a_pc_that_changes_its_group_after_the_approval_gets_no_key", server.SAME_GROUP_STILL),
    s(
        "a_chain_that_is_made_shorter_in_between_does_not_shorten_what_was_submitted",
        server.OWN_COPY,
        server.STEPS_ROW,
        server.KEY_TRIGGER,
    ),
    s("one_person_does_not_approve_two_steps", server.TWICE_ROW),
    s("the_second_step_does_not_come_first", server.IN_ORDER),
    s("an_approver_who_lost_the_role_or_the_account_decides_nothing", server.HAS_THE_ROLE),
    s("an_approval_that_comes_twice_counts_once", server.LOOKED_AT, server.TWICE_ROW),
    s("of_two_who_decide_from_the_same_page_one_does", server.WAITS_STILL, server.UNDECIDED, server.ARROWS),
    s("an_approval_after_the_withdrawal_is_refused", *_OTHER_STATE),
    s("a_withdrawn_or_returned_request_is_never_lent_again", server.ENDED_HERE, server.LENT_STILL),
    s("a_withdrawn_or_returned_request_is_never_lent_again", server.ARROWS),
    s(
        "nobody_asks_for_withdraws_or_returns_what_is_somebody_elses",
        server.OWN_DATA,
        server.FREE_DAYS,
    ),
    s("nobody_asks_for_withdraws_or_returns_what_is_somebody_elses", server.OWN_TO_WITHDRAW),
    s("nobody_mends_somebody_elses_request", server.OWN_TO_MEND, server.OWN_DATA),
    s("nobody_asks_for_withdraws_or_returns_what_is_somebody_elses", server.OWN_TO_RETURN),
    s("what_is_mended_begins_at_the_first_step_again", server.FROM_THE_FIRST),
    s("an_approver_makes_the_period_shorter_and_never_longer", server.SHORTER, server.SHORTER_ROW),
    s("two_requests_about_the_same_days_are_refused", server.FREE_DAYS),
    s("a_second_key_of_one_volume_waits_for_the_first_to_end", server.VOLUME_ROW),
    s("the_database_itself_takes_no_key_without_a_decision_at_each_step", server.STEPS_ROW),
    s("the_database_itself_takes_no_key_without_a_decision_at_each_step", server.KEY_TRIGGER),
    s("the_database_itself_takes_no_own_decision_and_none_that_changes", server.OWN_ROW),
    s("the_database_itself_takes_no_own_decision_and_none_that_changes", server.PLACE_ROW),
    s("the_database_itself_takes_no_own_decision_and_none_that_changes", server.FINAL_TRIGGER),
    s(
        "the_database_itself_takes_one_current_key_of_a_volume_and_no_longer_one_than_approved",
        server.KEY_TRIGGER,
        server.VOLUME_ROW,
        server.REQUEST_ROW,
    ),
    s(
        "the_database_itself_takes_one_current_key_of_a_volume_and_no_longer_one_than_approved",
        server.ENDED_ROW,
    ),
    s("no_secret_is_in_any_row_or_log", server.SEALED),
    a("nobody_decides_their_own_request_by_rest[approve]", *_OWN),
    a("nobody_decides_their_own_request_by_rest[reject]", *_OWN),
    a("nobody_decides_their_own_request_by_rest[send-back]", *_OWN),
    d("the_requester_who_is_in_the_steps_group_is_refused_also_through_a_deputy", *_OWN),
    d("whoever_is_no_longer_the_manager_decides_nothing", server.MANAGER_NOW),
    d("who_left_the_group_between_the_mail_and_the_decision_decides_nothing[left]", server.GROUP_NOW),
    d("who_left_the_group_between_the_mail_and_the_decision_decides_nothing[disabled]", server.ENABLED_NOW),
    d("who_left_the_group_between_the_mail_and_the_decision_decides_nothing[group gone]", server.GROUP_NOW),
    r("of_two_who_approve_the_same_step_one_does", server.LOOKED_AT, server.WAITS_STILL, server.UNDECIDED),
    r("a_withdrawal_and_the_last_approval_at_once_leave_no_key_of_a_withdrawn_request", *_OTHER_STATE),
    r("an_approval_and_a_rejection_at_once_are_one_decision", *_OTHER_STATE, server.UNDECIDED),
    r("the_same_days_are_asked_for_once", server.FREE_DAYS),
)
