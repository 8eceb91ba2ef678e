import json

import pytest

from schemas.limits import INT64_MAX
from schemas.project import Project
from streams.domain.project_file import Fault, FileFormat, read_project_file


def csv_file(*rows):
    return read_project_file("\n".join(rows).encode(), FileFormat.CSV)


def json_file(value):
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return read_project_file(text.encode(), FileFormat.JSON)


def test_a_csv_of_a_spreadsheet_is_read_with_its_mark_its_empty_rows_and_its_lines_within_cells():
    content = '\ufeffID,Name,charity,goal,description\r\nP1, 免费午餐 ,基金会,12.50,"a\nb"\r\n,,,,\r\nP2,Water,,,\r\n'
    found = read_project_file(content.encode(), FileFormat.CSV)
    assert found.faults == ()
    assert found.projects == (Project("P1", "免费午餐", "基金会", 1_250, "a\nb"), Project("P2", "Water"))


def test_json_is_a_list_of_objects():
    found = json_file([{"id": "P1", "name": "Water", "goal": 50_000, "charity": None}, {"id": "P2", "name": "b"}])
    assert found == json_file('[{"id":"P1","name":"Water","goal":5e4},{"id":"P2","name":"b","goal":null}]')
    assert found.projects == (Project("P1", "Water", "", 5_000_000), Project("P2", "b"))


@pytest.mark.parametrize(
    ("yuan", "fen"),
    [("0", 0), ("1", 100), ("0.1", 10), ("0.01", 1), ("92233720368547758.07", INT64_MAX), ("1.230", 123)],
)
def test_a_goal_is_exact_to_the_fen(yuan, fen):
    assert csv_file("id,name,goal", f"P1,a,{yuan}").projects[0].goal_fen == fen
    assert json_file(f'[{{"id":"P1","name":"a","goal":{yuan}}}]').projects[0].goal_fen == fen


@pytest.mark.parametrize("yuan", ["-1", "1.234", "1e3", "abc", "￥5", "\uff11", "92233720368547758.08", "nan", "1,000"])
def test_what_is_no_amount_is_a_fault(yuan):
    (fault,) = csv_file("id,name,goal", f'P1,a,"{yuan}"').faults
    assert fault == Fault(2, f"goal: {yuan} is no amount in yuan, such as 50000 or 50000.00")


@pytest.mark.parametrize("goal", ["true", "1.005", "-1", "1e999999999", '{"a":1}', "[]", r'"\ud800"'])
def test_what_is_no_amount_in_json_is_a_fault(goal):
    (fault,) = json_file(f'[{{"id":"P1","name":"a","goal":{goal}}}]').faults
    assert fault.row == 1
    assert fault.text.startswith("goal: ")
    fault.text.encode()


def test_every_fault_of_every_row_is_told_at_once_with_its_row():
    found = csv_file("id,name,goal", ",x,1.234", "P|1,,abc", "A,b,1,2", "A,c", f"B,{'n' * 201},1", "C,ok,1")
    assert [(fault.row, fault.text.split(":")[0]) for fault in found.faults] == [
        (2, "id"),
        (2, "goal"),
        (3, "name"),
        (3, "id"),
        (3, "goal"),
        (4, "it has 4 cells, the header has 3"),
        (5, "it has 2 cells, the header has 3"),
        (5, "id"),
        (6, "name"),
    ]


def test_the_second_row_of_an_id_is_a_fault_that_names_the_first():
    assert csv_file("id,name", "A,b", "B,b", "A,b").faults == (Fault(4, "id: 'A' stands in row 2 already"),)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "no id and no name"),
        (b"id,title\n", "no name"),
        (b"id,name,colour\n", "unknown column 'colour'"),
        (b"id,name,id\n", "a column stands twice"),
        (b'id,name\n1,"a', "isn't CSV"),
        ("id,name\n1,免费".encode("gb18030"), "isn't UTF-8"),
    ],
)
def test_a_csv_that_cant_be_read_is_one_fault_of_the_file(content, text):
    (fault,) = read_project_file(content, FileFormat.CSV).faults
    assert fault.row is None
    assert text in fault.text


@pytest.mark.parametrize(("content", "text"), [("{}", "must be a list"), ("[", "isn't JSON"), ("[" * 9_999, "isn't")])
def test_json_that_cant_be_read_is_one_fault_of_the_file(content, text):
    (fault,) = json_file(content).faults
    assert fault.row is None
    assert text in fault.text


def test_elements_that_are_no_objects_and_unknown_fields_are_faults():
    found = json_file([1, {"id": "A", "name": "a", "nmae": 1}, {"id": 5, "name": ""}])
    assert [fault.row for fault in found.faults] == [1, 2, 3, 3]


@pytest.mark.parametrize("name", ["id", "name", "charity", "description"])
def test_half_a_character_is_a_fault_as_it_could_not_be_written(name):
    fields = {"id": "P1", "name": "a", name: "a\ud800"}
    (fault,) = read_project_file(json.dumps([fields]).encode(), FileFormat.JSON).faults
    assert fault == Fault(1, f"{name}: half a character (a surrogate) stands in it")


@pytest.mark.parametrize("name", ["name", "charity"])
def test_a_name_is_one_line_without_control_characters(name):
    for text in ("a\nb", "\x1b[31m", "\x9b"):
        (fault,) = json_file([{"id": "P1", "name": "a", name: text}]).faults
        assert fault == Fault(1, f"{name}: control characters may not stand in it, line breaks neither")
