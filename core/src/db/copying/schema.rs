//! Which tables there are, what is in them, and which of that is carried: everything, so that no new table is forgotten.

use std::collections::{BTreeMap, BTreeSet};

use super::CopyingError;
use super::PROGRESS_TABLE;
use crate::db::Db;
use crate::db::ownership::MIGRATIONS;

/// What SQLite alone has: see `db/ledger/sqlite/key_index.rs`. The target makes its own.
const SQLITE_TABLES: [&str; 2] = ["key_index", "key_index_flushed"];
/// Where rows lie in SQLite's file. The target numbers them itself, in the order in which they come.
const SQLITE_COLUMNS: [(&str, &str); 2] = [("entries", "position"), ("idempotency_keys", "position")];
/// Tables whose first row every bank has from its migrations, and nobody may replace. It has the key 0.
pub const HAS_FIRST_ROW: [&str; 1] = ["bank_accounts"];
/// In the order of age, because SQLite looks for expired keys at one end.
const KEYS: &str = "idempotency_keys";

/// What the catalogue of a database says of a table.
#[derive(Clone, Debug, Default)]
pub struct TableShape {
    /// In their order, with the type of each.
    pub columns: Vec<(String, String)>,
    pub primary_key: Vec<String>,
    pub references: BTreeSet<String>,
}

pub type Schema = BTreeMap<String, TableShape>;

/// A column as it is read and written.
#[derive(Clone, Debug)]
pub struct Column {
    pub name: String,
    pub read_as: Kind,
    pub write_as: Kind,
}

/// How a database stores a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Bigint,
    Integer,
    Smallint,
    Boolean,
    Text,
    Bytes,
    Uuid,
}

impl Kind {
    /// By the name that the database has for it.
    fn parse(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "int8" | "bigint" => Some(Self::Bigint),
            // SQLite's has 64 bits, and is never read or written by this.
            "int4" | "integer" | "int" => Some(Self::Integer),
            "int2" => Some(Self::Smallint),
            "bool" | "boolean" => Some(Self::Boolean),
            "text" => Some(Self::Text),
            "bytea" | "blob" => Some(Self::Bytes),
            "uuid" => Some(Self::Uuid),
            _ => None,
        }
    }
}

/// A table that is carried.
#[derive(Clone, Debug)]
pub struct Table {
    pub name: String,
    /// What is read: the columns that are carried, and behind them what only the key of the source needs.
    pub selected: Vec<Column>,
    /// How many of them are carried.
    pub carried: usize,
    /// Those that rows are in the order of, and known by, in the source.
    pub key: Vec<usize>,
}

impl Table {
    pub fn names_of_selected(&self) -> String {
        self.selected.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ")
    }

    pub fn names_of_carried(&self) -> String {
        self.selected[..self.carried].iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// Which rows are carried.
    pub fn condition(&self) -> &'static str {
        if HAS_FIRST_ROW.contains(&self.name.as_str()) { "id <> 0" } else { "true" }
    }
}

impl Db {
    /// The tables of the books, as the database's own catalogue has them.
    pub async fn tables(&self) -> Result<Schema, CopyingError> {
        let mut schema = match self {
            Self::Sqlite { read_pool, .. } => super::sqlite::tables(read_pool).await?,
            Self::Postgres { read_pool, .. } => super::postgres::tables(read_pool).await?,
        };
        schema.retain(|table, _| table != PROGRESS_TABLE && table != MIGRATIONS);
        Ok(schema)
    }
}

/// The tables to carry, each behind those that it refers to. Refuses when either side has something that the other has no place
/// for.
pub fn plan(from: &Schema, to: &Schema) -> Result<Vec<Table>, CopyingError> {
    let names: BTreeSet<&String> = from.keys().chain(to.keys()).collect();
    let mut tables = Vec::new();
    for name in names.into_iter().filter(|name| !SQLITE_TABLES.contains(&name.as_str())) {
        let (Some(source), Some(target)) = (from.get(name), to.get(name)) else {
            return Err(CopyingError::Refused(format!("only one of the two databases has the table {name}")));
        };
        tables.push(carry(name, source, target)?);
    }
    Ok(in_order_of_references(tables, [from, to]))
}

fn carry(name: &str, from: &TableShape, to: &TableShape) -> Result<Table, CopyingError> {
    let refuse =
        |column: &str, why: &str| CopyingError::Refused(format!("the column {column} of the table {name} {why}"));
    let is_own = |column: &str| SQLITE_COLUMNS.contains(&(name, column));
    let one_sided = |these: &TableShape, those: &TableShape| {
        let names =
            |shape: &TableShape| shape.columns.iter().map(|(column, _)| column.clone()).collect::<BTreeSet<_>>();
        names(these).difference(&names(those)).find(|column| !is_own(column)).cloned()
    };
    if let Some(column) = one_sided(from, to).or_else(|| one_sided(to, from)) {
        return Err(refuse(&column, "is in one of the two databases alone"));
    }
    let order = if name == KEYS && !from.primary_key.iter().any(|column| is_own(column)) {
        vec!["created_at".to_owned(), "key".to_owned()]
    } else {
        from.primary_key.clone()
    };
    let mut selected = Vec::new();
    let (own, shared): (Vec<_>, Vec<_>) = from.columns.iter().partition(|(column, _)| is_own(column));
    for (column, kind) in shared.iter().chain(&own) {
        let target = to.columns.iter().find(|(other, _)| other == column).map_or(kind, |(_, kind)| kind);
        let (Some(read_as), Some(write_as)) = (Kind::parse(kind), Kind::parse(target)) else {
            return Err(refuse(column, "is of a type that is not known here"));
        };
        selected.push(Column { name: column.clone(), read_as, write_as });
    }
    let place = |column: &String| selected.iter().position(|it| it.name == *column);
    let key = order.iter().filter_map(place).collect();
    Ok(Table { name: name.to_owned(), carried: shared.len(), selected, key })
}

/// By the references of both: a source that is spread over several machines does without some that the target has.
fn in_order_of_references(mut left: Vec<Table>, schemas: [&Schema; 2]) -> Vec<Table> {
    let mut ordered: Vec<Table> = Vec::new();
    while !left.is_empty() {
        let waits = |table: &Table| {
            let refers_to = |other: &Table| {
                schemas
                    .iter()
                    .any(|schema| schema.get(&table.name).is_some_and(|it| it.references.contains(&other.name)))
            };
            left.iter().any(|other| other.name != table.name && refers_to(other))
        };
        let (later, now): (Vec<_>, Vec<_>) = left.clone().into_iter().partition(waits);
        // Tables in a circle would never be ready; the target then says what it misses.
        let is_circle = now.is_empty();
        let (now, later) = if is_circle { (later, Vec::new()) } else { (now, later) };
        ordered.extend(now);
        left = later;
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(columns: &[&str], references: &[&str]) -> TableShape {
        TableShape {
            columns: columns.iter().map(|name| ((*name).to_owned(), "text".to_owned())).collect(),
            primary_key: vec![columns[0].to_owned()],
            references: references.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    fn schema(tables: &[(&str, TableShape)]) -> Schema {
        tables.iter().map(|(name, shape)| ((*name).to_owned(), shape.clone())).collect()
    }

    #[test]
    fn each_table_comes_behind_those_that_it_refers_to() {
        let all = schema(&[
            ("a", table(&["id"], &["c"])),
            ("b", table(&["id"], &["b"])),
            ("c", table(&["id"], &["d", "b"])),
            ("d", table(&["id"], &[])),
        ]);
        let plan = plan(&all, &all).expect("a plan");
        let names: Vec<&str> = plan.iter().map(|table| table.name.as_str()).collect();
        assert_eq!(names, ["b", "d", "c", "a"]);
    }

    #[test]
    fn what_only_the_target_refers_to_comes_first_as_well() {
        let spread = schema(&[("accounts", table(&["id"], &[])), ("users", table(&["id"], &[]))]);
        let whole = schema(&[("accounts", table(&["id"], &["users"])), ("users", table(&["id"], &[]))]);
        for (from, to) in [(&spread, &whole), (&whole, &spread)] {
            let plan = plan(from, to).expect("a plan");
            assert_eq!(plan.iter().map(|table| table.name.as_str()).collect::<Vec<_>>(), ["users", "accounts"]);
        }
    }

    #[test]
    fn what_has_no_place_on_the_other_side_is_named() {
        let one = schema(&[("a", table(&["id", "new"], &[]))]);
        let other = schema(&[("a", table(&["id"], &[]))]);
        let refusal = plan(&one, &other).expect_err("a refusal").to_string();
        assert_eq!(refusal, "the column new of the table a is in one of the two databases alone");
        assert!(plan(&other, &one).is_err());
        let refusal = plan(&one, &schema(&[])).expect_err("a refusal").to_string();
        assert_eq!(refusal, "only one of the two databases has the table a");
    }
}
