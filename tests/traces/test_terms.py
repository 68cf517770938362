"""What the writer of search documents and who asks must spell alike."""

from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from traces.terms import plain_words, term

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=60)


@given(texts)
def test_words_are_made_as_the_database_makes_them(text: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT search_plain(%s)", [text])
        assert cursor.fetchone()[0] == plain_words(text)


@given(texts, texts)
def test_every_term_is_a_lexeme(key: str, value: str) -> None:
    lexeme = term(key, value)
    with connection.cursor() as cursor:
        cursor.execute("SELECT array_to_tsvector(%s::text[]) @@ (%s)::tsquery", [[lexeme], _quoted(lexeme)])
        assert cursor.fetchone()[0] is True


def _quoted(lexeme: str) -> str:
    return "'" + lexeme.replace("\\", "\\\\").replace("'", "''") + "'"
