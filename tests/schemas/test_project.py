import msgspec
import pytest

from schemas.project import Project, decode_project, encode_project


def test_a_project_needs_an_id_and_a_name_alone():
    assert decode_project('{"project_id":"P1","name":"山区午餐"}'.encode()) == Project("P1", "山区午餐", "", None, "")


def test_a_project_comes_back_as_it_went():
    project = Project("P1", "Lunch", "A charity", 2**53 + 1, "What it does")
    assert decode_project(encode_project(project)) == project


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (b'{"name":"x"}', "project_id"),
        (b'{"project_id":"P1"}', "name"),
        (b'{"project_id":"P1","name":""}', "$.name"),
        (b'{"project_id":"P1","name":"x","goal_fen":-1}', "$.goal_fen"),
        (b'{"project_id":"P1","name":"x","goal_fen":1.5}', "$.goal_fen"),
    ],
)
def test_a_wrong_field_is_named(value, place):
    with pytest.raises(msgspec.ValidationError) as raised:
        decode_project(value)
    assert place in str(raised.value)
