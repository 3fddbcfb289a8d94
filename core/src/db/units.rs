//! The bank's own units.

use sqlx::FromRow;

use super::{ConnectError, Db, Tx, in_transaction, on_reader};
use crate::money::units::{self, Unit};

#[derive(FromRow)]
struct UnitRow {
    code: String,
    decimals: i64,
    name: String,
}

/// Why the units of the settings cannot be used. Prints for those who run the bank.
#[derive(Debug, thiserror::Error)]
pub enum DefineUnitsError {
    #[error(
        "COFFER_UNITS (--units): {code} has {configured} decimals there, and {stored} in this database, where amounts are \
         counted by them. Write {code}:{stored}, or take another code"
    )]
    OtherDecimals { code: String, configured: u32, stored: u32 },
    #[error("COFFER_UNITS (--units): {0} is there twice")]
    Twice(String),
    #[error(transparent)]
    Query(#[from] sqlx::Error),
}

impl Db {
    /// Makes the units that the database knows known to this process, so that accounts in them can be read.
    pub async fn learn_units(&self) -> sqlx::Result<()> {
        units::make_known(self.units().await?, false);
        Ok(())
    }

    /// The same when the database is opened.
    pub async fn learn_first_units(&self) -> Result<(), ConnectError> {
        let unreadable = |error| format!("its units cannot be read: {error}");
        let learned = self.learn_units().await;
        learned.map_err(|error| ConnectError::Open { place: self.place(), reason: unreadable(error) })
    }

    /// Writes down the units that the bank has from now on, and makes them known to this process: accounts may be opened in
    /// them. A unit may get another name, and keeps its decimals.
    pub async fn define_units(&self, configured: &[Unit]) -> Result<(), DefineUnitsError> {
        let twice = configured
            .iter()
            .enumerate()
            .find(|(at, unit)| configured[..*at].iter().any(|it| it.code() == unit.code()));
        if let Some((_, unit)) = twice {
            return Err(DefineUnitsError::Twice(unit.code().to_owned()));
        }
        for stored in self.units().await? {
            let other =
                configured.iter().find(|unit| unit.code() == stored.code() && unit.decimals() != stored.decimals());
            if let Some(unit) = other {
                let (code, configured) = (unit.code().to_owned(), unit.decimals());
                return Err(DefineUnitsError::OtherDecimals { code, configured, stored: stored.decimals() });
            }
        }
        if !configured.is_empty() {
            let mut tx = self.begin().await?;
            for unit in configured {
                tx.store_unit(unit).await?;
            }
            tx.commit().await?;
        }
        units::make_known(configured.iter().cloned(), true);
        Ok(())
    }

    async fn units(&self) -> sqlx::Result<Vec<Unit>> {
        let rows: Vec<UnitRow> = on_reader!(self, conn => sqlx::query_as(
            "select code, cast(decimals as bigint) as decimals, name from units order by code",
        )
        .fetch_all(conn)
        .await)?;
        let unit = |row: UnitRow| Unit::new(&row.code, row.decimals.try_into().unwrap_or(u32::MAX), &row.name);
        rows.into_iter().map(|row| unit(row).map_err(|error| sqlx::Error::Decode(error.into()))).collect()
    }
}

impl Tx<'_> {
    /// Writes a new unit, or the new name of one with the same decimals.
    async fn store_unit(&mut self, unit: &Unit) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query(
            "insert into units (code, decimals, name) values ($1, $2, $3)
             on conflict (code) do update set name = excluded.name where units.decimals = excluded.decimals",
        )
        .bind(unit.code())
        .bind(unit.decimals() as i16)
        .bind(unit.name())
        .execute(conn)
        .await
        .map(drop))
    }
}
