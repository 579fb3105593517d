"""The faults of the founding study: each has a test that catches it, and this table says which."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
CAUGHT_BY: dict[str, list[tuple[str, str]]] = {
    "AUC from hard predictions": [
        ("evaluation/test_metrics.py", "test_hard_predictions_are_refused"),
        ("evaluation/test_report_pages.py", "test_too_few_files_are_no_measurement_and_hard_predictions_are_refused"),
        ("training/test_loop.py", "test_auc_is_computed_from_scores_not_from_hard_predictions"),
    ],
    "checkpoint chosen on the reported set": [
        ("training/test_loop.py", "test_training_reads_train_rows_and_checking_reads_val_rows_and_nothing_reads_test"),
        ("cli/test_cli_measure.py", "test_files_that_a_model_was_trained_on_are_told"),
        ("examples/test_founding_study.py", "test_every_fault_stands_beside_its_mending"),
    ],
    "identities of validation people left in training": [
        ("data/test_manifest.py", "test_a_person_who_is_in_two_splits_is_refused"),
        ("data/test_manifest.py", "test_an_original_or_a_copy_on_both_sides_is_refused"),
        ("cli/test_cli_measure.py", "test_a_leak_planted_in_a_list_is_refused_before_anything_is_analysed"),
    ],
    "different normalisation at inference": [
        ("models/test_runtime.py", "test_pixels_are_normalised_as_the_card_says_channel_by_channel"),
        ("training/test_loop.py", "test_pictures_are_normalised_as_the_table_says_in_training_and_in_checking"),
        ("training/test_export.py", "test_a_shipped_network_answers_through_the_runtime_as_it_did_in_training"),
    ],
    "weights loaded with strict=False": [
        ("training/test_networks.py", "test_weights_that_do_not_fit_are_refused"),
        ("training/test_export.py", "test_a_checkpoint_with_a_missing_or_unknown_number_is_refused"),
        (
            "models/test_runtime.py",
            "test_tuned_numbers_that_the_tower_has_no_place_for_or_too_few_are_refused",
        ),
    ],
    "dropout and head drawn at random at inference": [
        ("training/test_networks.py", "test_dropout_is_off_at_inference_and_on_in_training"),
        ("training/test_loop.py", "test_scores_are_the_same_twice_though_dropout_is_trained_with"),
        ("test_analyze.py", "test_the_same_file_gets_the_same_answer"),
    ],
    "crash when no face": [
        ("test_analyze.py", "test_a_file_without_a_face_is_not_analysable_and_has_no_number"),
    ],
    "only the first face": [
        ("test_analyze.py", "test_two_people_are_kept_apart"),
        ("test_verdict.py", "test_the_most_suspicious_person_decides"),
    ],
    "whole video in memory": [
        ("media/test_sandbox.py", "test_memory_does_not_grow_with_the_length_of_the_clip"),
        ("test_analyze.py", "test_crops_of_a_long_file_are_thinned_so_that_memory_stays"),
    ],
    "no compression in the augmentation": [
        ("training/test_augment.py", "test_compression_is_part_of_the_default_augmentation"),
    ],
    "the share of five frames voted real as probability": [
        ("test_verdict.py", "test_the_mean_logit_of_a_person_gives_the_level"),
        ("evaluation/test_calibrate.py", "test_stated_probabilities_come_true_on_new_files"),
    ],
}


@pytest.mark.parametrize("fault", CAUGHT_BY)
def test_every_known_fault_has_its_tests(fault: str) -> None:
    for file, name in CAUGHT_BY[fault]:
        text = (TESTS / file).read_text(encoding="utf-8")
        assert re.search(rf"^def {name}\(", text, re.MULTILINE), f"{name} in {file}"
