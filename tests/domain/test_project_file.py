import io
import json
from types import SimpleNamespace

import pytest

from schemas.limits import INT64_MAX
from schemas.project import Project
from streams.domain.project_file import PIECE_BYTES, ROW_MAX_CHARACTERS, Fault, FileFormat, read_project_file
from streams.projects import ProjectFileError, ProjectTable, load_project_file


def read(content, file_format):
    """All projects and all faults."""
    rows = list(read_project_file(io.BytesIO(content), file_format))
    return SimpleNamespace(
        projects=tuple(row.project for row in rows if row.project),
        faults=tuple(Fault(row.number, text) for row in rows for text in row.faults),
    )


def csv_file(*rows):
    return read("\n".join(rows).encode(), FileFormat.CSV)


def json_file(value):
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return read(text.encode(), FileFormat.JSON)


def test_a_csv_of_a_spreadsheet_is_read_with_its_mark_its_empty_rows_and_its_lines_within_cells():
    content = '\ufeffID,Name,charity,goal,description\r\nP1, 免费午餐 ,基金会,12.50,"a\nb"\r\n,,,,\r\nP2,Water,,,\r\n'
    found = read(content.encode(), FileFormat.CSV)
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
        (6, "name"),
    ]


def test_the_second_row_of_an_id_is_a_fault_that_names_the_first(tmp_path):
    path = tmp_path / "projects.csv"
    path.write_text("id,name\nA,b\nB,b\nA,b\nB,\n")
    with ProjectTable() as table, pytest.raises(ProjectFileError) as refused:
        load_project_file(path, table)
    assert refused.value.faults == [
        Fault(4, "id: 'A' stands in row 2 already"),
        Fault(5, "name: is missing"),
        Fault(5, "id: 'B' stands in row 3 already"),
    ]


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
    (fault,) = read(content, FileFormat.CSV).faults
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
    (fault,) = read(json.dumps([fields]).encode(), FileFormat.JSON).faults
    assert fault == Fault(1, f"{name}: half a character (a surrogate) stands in it")


@pytest.mark.parametrize("name", ["name", "charity"])
def test_a_name_is_one_line_without_control_characters(name):
    for text in ("a\nb", "\x1b[31m", "\x9b"):
        (fault,) = json_file([{"id": "P1", "name": "a", name: text}]).faults
        assert fault == Fault(1, f"{name}: control characters may not stand in it, line breaks neither")


# Of any length


def whole(rows, file_format):
    if file_format is FileFormat.JSON:
        fields = [dict(zip(("id", "name", "goal"), each, strict=True)) for each in rows]
        return json.dumps(fields, ensure_ascii=False).encode()
    return ("id,name,goal\n" + "".join(f"{key},{name},{goal}\n" for key, name, goal in rows)).encode()


class Slow(io.BytesIO):
    """Gives `step` bytes at once."""

    step = 1

    def read(self, _=-1):
        return super().read(self.step)


@pytest.mark.parametrize("file_format", FileFormat)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_wherever_a_piece_ends_the_rows_are_the_same(file_format, mark):
    """Pieces end within characters, numbers, names and the mark itself."""
    rows = [(f"P{at}", "免费午餐🥣", 12_345 + at) for at in range(60)]
    content = mark + whole(rows, file_format)
    for step in (1, 2, 3, 5, 7, 64, 1_000):
        file = Slow(content)
        file.step = step
        found = list(read_project_file(file, file_format))
        assert [row.project for row in found] == [Project(key, name, "", goal * 100) for key, name, goal in rows]


@pytest.mark.parametrize("file_format", FileFormat)
def test_a_fault_behind_many_pieces_has_its_row_and_what_cant_be_read_on_its_place(file_format):
    rows = [(f"P{at}", "n" * 100, at) for at in range(9_000)]
    rows[8_000] = ("P8000", "n" * 201, 1)
    content = whole(rows, file_format)
    assert len(content) > 3 * PIECE_BYTES
    ((number, fault),) = ((fault.row, fault.text) for fault in read(content, file_format).faults)
    assert number == (8_001 if file_format is FileFormat.JSON else 8_002)
    assert fault.startswith("name: ")
    at = content.index(b"P8999")
    wrong = read(content[:at] + b"\xff" + content[at:], file_format).faults
    assert wrong[-1].row is None
    assert f"(byte {at})" in wrong[-1].text
    cut = read(content[:-3] + b'\n"x', file_format).faults
    assert (cut[0].row, cut[-1].row) == (number, None)


def test_json_that_ends_or_goes_on_wrongly_says_where():
    good = json.dumps([{"id": f"P{at}", "name": "a" * 150} for at in range(5_000)], indent=1)
    for text, says in (
        (good[:-1], "a comma or the list's end"),
        (good + " x", "something stands behind the list"),
        (good[:-2] + ",]", "Expecting value"),
        (good.replace('"P4999",', '"P4999"'), "Expecting ',' delimiter"),
        (good + "\n]", "something stands behind"),
    ):
        found = json_file(text)
        assert len(found.projects) >= 4_999
        (fault,) = found.faults
        assert fault.row is None
        assert says in fault.text
        line = int(fault.text.partition("(line ")[2].partition(",")[0])
        assert abs(line - good.count("\n")) <= 4
    assert json_file("[]").projects == json_file(" [ ] \n").projects == ()
    assert json_file("[1,]").faults[-1].text.endswith("(line 1, column 4)")


@pytest.mark.parametrize("file_format", FileFormat)
def test_a_row_without_an_end_is_given_up_before_the_file_is_in_memory(file_format):
    class Endless(io.RawIOBase):
        taken = 0

        def read(self, size=-1):
            self.taken += size
            return (start if self.taken == size else b"").ljust(size, b"x")

    start = b"id,name\n" if file_format is FileFormat.CSV else b'[{"id":"'
    file = Endless()
    (row,) = read_project_file(file, file_format)
    assert row.number is None
    assert file.taken <= ROW_MAX_CHARACTERS + 3 * PIECE_BYTES
