"""The server's tables, in SQLite or PostgreSQL by the same statements.

Every row belongs to an owner; each transaction is one `with database.begin()`. A process may be
killed at any moment: what a transaction wrote is there as a whole or not at all.
"""

import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import JsonValue
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Engine,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
    text,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError

from skycue.errors import ConfigError, MissingToolError

BUSY_TIMEOUT_S = 30
"""How long SQLite waits for another writer."""
SQLITE_CONNECTIONS = 64
"""More than there are threads that ask, so that none waits."""
POSTGRES_CONNECTIONS = 20
"""Of one server; PostgreSQL allows 100 in all unless it is told otherwise."""
POOL_TIMEOUT_S = 120
"""How long a thread waits for a connection."""
WRITES = "skycue_writes"
"""Marks a connection whose transaction writes."""
ID, OWNER = 64, 64
"""Longest id and owner."""

metadata = MetaData()
rasters = Table(
    "rasters",
    metadata,
    Column("id", String(ID), primary_key=True),
    Column("owner", String(OWNER), nullable=False, index=True),
    Column("created", Float, nullable=False),
    Column("status", String(16), nullable=False),
    Column("file", Text, nullable=False),  # key in the file store, or a path given by the operator
    Column("bytes", BigInteger, nullable=False),
    Column("record", Text, nullable=False),
)
uploads = Table(
    "uploads",
    metadata,
    Column("id", String(ID), primary_key=True),
    Column("owner", String(OWNER), nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("received", BigInteger, nullable=False),
    Column("touched", Float, nullable=False),
)
jobs = Table(
    "jobs",
    metadata,
    Column("id", String(ID), primary_key=True),
    Column("owner", String(OWNER), nullable=False, index=True),
    Column("created", Float, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("status", String(16), nullable=False, index=True),
    Column("raster", String(ID)),
    Column("request", Text, nullable=False),
    Column("progress", Float, nullable=False),
    Column("message", Text, nullable=False),
    Column("result", String(ID)),
    Column("error", Text),
    Column("cancel", Boolean, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("worker", String(ID)),
    Column("seen", Float, nullable=False),
    Column("finished", Float),
)
models = Table(
    "models",
    metadata,
    Column("id", String(ID), primary_key=True),
    Column("owner", String(OWNER), nullable=False, index=True),
    Column("created", Float, nullable=False),
    Column("file", Text, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("record", Text, nullable=False),
)
maps = Table(
    "maps",
    metadata,
    Column("id", String(ID), primary_key=True),
    Column("owner", String(OWNER), nullable=False),
    Column("raster", String(ID), nullable=False),
    Column("created", Float, nullable=False),
    Column("file", Text, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("record", Text, nullable=False),
    Index("maps_of_raster", "owner", "raster"),
)
labels = Table(
    "labels",
    metadata,
    Column("id", String(ID), primary_key=True),
    Column("owner", String(OWNER), nullable=False),
    Column("raster", String(ID), nullable=False),
    Column("place", Integer, nullable=False),
    Column("record", Text, nullable=False),
    Index("labels_of_raster", "owner", "raster"),
)
answers = Table(
    "answers",
    metadata,
    Column("id", String(ID), primary_key=True),
    Column("owner", String(OWNER), nullable=False),
    Column("raster", String(ID), nullable=False),
    Column("created", Float, nullable=False),
    Column("record", Text, nullable=False),
    Index("answers_of_raster", "owner", "raster"),
)
edits = Table(
    "edits",
    metadata,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("owner", String(OWNER), nullable=False),
    Column("raster", String(ID), nullable=False),
    Column("before", Text, nullable=False),  # answers as they were, null for those that were not
    Index("edits_of_raster", "owner", "raster"),
)


class Database:
    """Connections to the server's state."""

    def __init__(self, url: str) -> None:
        """Connect, and make the tables that are missing.

        Args:
            url: SQLAlchemy's, such as sqlite:///state.sqlite or postgresql+psycopg://HOST/NAME.

        Raises:
            ConfigError: If there is no database at this URL.
            MissingToolError: If the driver that it names is not installed.
        """
        self.engine = _engine_of(url)
        try:
            metadata.create_all(self.engine)
        except OperationalError as error:
            shown = make_url(url).render_as_string(hide_password=True)
            raise ConfigError(f"database {shown} cannot be used: {error.orig}.") from error

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Open a transaction that is written when the block ends, or undone when it raises."""
        with self.engine.connect() as connection:
            writing = connection.execution_options(**{WRITES: True})
            with writing.begin():
                yield writing

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a transaction that writes nothing; on SQLite it waits for no writer."""
        with self.engine.connect() as connection:
            yield connection

    def lock_owner(self, connection: Connection, owner: str) -> None:
        """Let no other transaction of an owner run until this one ends, so that counts hold.

        SQLite has one writer at a time anyway.
        """
        if self.engine.dialect.name == "postgresql":
            key = int.from_bytes(hashlib.sha256(owner.encode()).digest()[:8], signed=True)
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})

    def is_ready(self) -> bool:
        """Tell whether a connection answers."""
        try:
            with self.engine.connect() as connection:
                connection.exec_driver_sql("SELECT 1")
        except OperationalError:
            return False
        return True

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def now() -> float:
    """Return seconds since 1970: what `created`, `seen` and `touched` hold."""
    return time.time()


def dump(value: JsonValue) -> str:
    """Write what a Text column holds."""
    return json.dumps(value, ensure_ascii=False)


def _engine_of(url: str) -> Engine:
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() not in ("sqlite", "postgresql"):
            raise ConfigError(
                f"database {parsed.render_as_string()} is neither sqlite:///FILE nor "
                "postgresql+psycopg://USER:PASSWORD@HOST/NAME."
            )
        if parsed.get_backend_name() == "postgresql":
            return create_engine(
                parsed,
                pool_pre_ping=True,
                pool_size=POSTGRES_CONNECTIONS,
                max_overflow=0,
                pool_timeout=POOL_TIMEOUT_S,
                connect_args={"client_encoding": "utf8"},
            )
        engine = create_engine(
            parsed,
            pool_size=SQLITE_CONNECTIONS,
            pool_timeout=POOL_TIMEOUT_S,
            connect_args={"timeout": BUSY_TIMEOUT_S},
        )
    except (ArgumentError, NoSuchModuleError) as error:
        raise ConfigError(
            "database is no URL of SQLAlchemy: use sqlite:///FILE or "
            "postgresql+psycopg://USER:PASSWORD@HOST/NAME."
        ) from error
    except ModuleNotFoundError as error:
        raise MissingToolError(
            f"the database needs {error.name}: pip install 'skycue[cloud]'."
        ) from error
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: object, _record: object) -> None:
    """Let readers read while one writes, and force each transaction to the disk."""
    connection.isolation_level = None  # type: ignore[attr-defined]  # BEGIN is ours, see below
    cursor = connection.cursor()  # type: ignore[attr-defined]
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    """Take a writer's place at once, so that no transaction fails halfway for another's sake."""
    writes = connection.get_execution_options().get(WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
