//! What the tests' shop sells by.

use std::time::Duration;

use plugin_api::{Error, serde::Deserialize, serde_json::Value};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ConnectionTrait, DatabaseExecutor, DbErr, IntoActiveModel,
};

use crate::{Call, Failure, Models, Registry};

pub(super) mod order {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "orders")]
    pub(crate) struct Model {
        #[sea_orm(primary_key)]
        pub(crate) id: i64,
        #[sea_orm(unique)]
        pub(crate) number: String,
        pub(crate) status: String,
        pub(crate) paid: bool,
        pub(crate) weight: f64,
        pub(crate) note: Option<String>,
        #[sea_orm(column_type = "DateTime")]
        pub(crate) placed_at: String,
        #[sea_orm(column_type = "Blob")]
        pub(crate) scan: Vec<u8>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(super) mod line {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "lines")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) order_id: i64,
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) position: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

type OrderCall<'a> = Call<'a, order::Entity>;

pub(super) struct Shop;

impl Models for Shop {
    fn registry() -> Registry {
        Registry::new()
            .model::<order::Entity>("Order", |methods| {
                methods
                    .method("migrate", migrate)
                    .method("id", id)
                    .method("status", status)
                    .method("cancel", cancel)
                    .method("isNew", is_new)
                    .method("answer", answer)
                    .method("answerAfterCancel", answer_after_cancel)
                    .method("duplicate", duplicate)
                    .method("broken", broken)
                    .method("later", later)
                    .method("panic", panics)
            })
            .model::<line::Entity>("\\Shop\\Line", |methods| methods.method("exists", exists))
    }
}

async fn migrate(call: OrderCall<'_>, (): ()) -> Result<bool, Failure> {
    call.database()
        .execute_unprepared(
            "CREATE TABLE orders (id INTEGER PRIMARY KEY, number TEXT UNIQUE, status TEXT, paid BOOLEAN, weight REAL,
                                  note TEXT, placed_at TEXT, scan BLOB);
             CREATE TABLE lines (order_id INTEGER, position INTEGER);
             INSERT INTO lines VALUES (1, 1);
             INSERT INTO orders VALUES
                 (1, 'A1', 'open', 0, 1.5, NULL, '2026-01-01 10:00:00', x''),
                 (2, 'A2', 'sent', 1, 2.5, NULL, '2026-02-01 10:00:00', x''),
                 (3, 'B''3', 'open', 1, 3.5, 'fragile', '2026-03-01 10:00:00', x'');",
        )
        .await?;
    Ok(true)
}

async fn id(call: OrderCall<'_>, (): ()) -> Result<i64, Failure> {
    Ok(call.row()?.id)
}

async fn status(call: OrderCall<'_>, (): ()) -> Result<String, Failure> {
    Ok(call.row()?.status.clone())
}

async fn is_new(call: OrderCall<'_>, (): ()) -> Result<bool, Failure> {
    Ok(call.found().is_none() && call.active().id.is_not_set())
}

#[derive(Deserialize)]
#[serde(crate = "plugin_api::serde")]
pub(super) struct Cancel {
    #[serde(default)]
    reason: String,
    by: Option<i64>,
}

async fn cancel(call: OrderCall<'_>, Cancel { reason, by }: Cancel) -> Result<String, Failure> {
    if call.row()?.status != "open" {
        return Err("the order is already sent".into());
    }
    save_cancelled(call.active(), call.database()).await?;
    Ok(format!("{reason} by {by:?}"))
}

/// Authors' own functions take the database by reference.
async fn save_cancelled(mut order: order::ActiveModel, database: &DatabaseExecutor<'_>) -> Result<(), DbErr> {
    order.status = Set("cancelled".to_owned());
    order.update(database).await.map(drop)
}

/// Answers with its argument.
async fn answer(_: OrderCall<'_>, (value,): (Value,)) -> Result<Value, Failure> {
    Ok(value)
}

/// Answers with its argument after it has changed a row.
async fn answer_after_cancel(call: OrderCall<'_>, (value,): (Value,)) -> Result<Value, Failure> {
    save_cancelled(call.active(), call.database()).await?;
    Ok(value)
}

/// Inserts a second order of the same number.
async fn duplicate(call: OrderCall<'_>, (): ()) -> Result<bool, Failure> {
    let mut order = call.row()?.clone().into_active_model().reset_all();
    order.id = Set(99);
    order.insert(call.database()).await?;
    Ok(true)
}

async fn broken(call: OrderCall<'_>, (): ()) -> Result<bool, Failure> {
    call.database()
        .execute_unprepared("SELECT id FROM nowhere")
        .await?;
    Ok(true)
}

async fn later(call: OrderCall<'_>, (): ()) -> Result<bool, Failure> {
    save_cancelled(call.active(), call.database()).await?;
    let delay = Duration::from_secs(7);
    Err(Failure::decided(Error::retry_in(delay, "not yet")))
}

async fn panics(call: OrderCall<'_>, (): ()) -> Result<bool, Failure> {
    save_cancelled(call.active(), call.database()).await?;
    panic!("as asked");
}

async fn exists(call: Call<'_, line::Entity>, (): ()) -> Result<bool, Failure> {
    Ok(call.found().is_some())
}
