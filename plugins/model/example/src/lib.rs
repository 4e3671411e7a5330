//! `libmodel.so`: the handler `model` for a shop whose orders are in SQLite or PostgreSQL.
//!
//! A plugin of one's own looks like this one: the entities (`order`), the methods, the registry, and the last line.

mod order;

use asynccall_model::{Call, Failure, Models, Orm, Registry};
use plugin_api::export_plugin;
use sea_orm::{ActiveModelTrait, ActiveValue::Set};
use serde::Deserialize;

/// The models of the shop.
struct Shop;

impl Models for Shop {
    fn registry() -> Registry {
        Registry::new().model::<order::Entity>("Order", |methods| {
            methods
                .method("cancel", cancel)
                .method("place", place)
                .method("isOpen", is_open)
        })
    }
}

/// The parameters of [`cancel`].
#[derive(Deserialize)]
struct Cancel {
    #[serde(default)]
    reason: String,
}

/// Cancels an order that is still open.
async fn cancel(call: Call<'_, order::Entity>, Cancel { reason }: Cancel) -> Result<order::Model, Failure> {
    let row = call.row()?;
    if row.status != "open" {
        return Err(format!("order {} is {}", row.id, row.status).into());
    }
    let mut order = call.active();
    order.status = Set("cancelled".to_owned());
    order.reason = Set(reason);
    Ok(order.update(call.database()).await?)
}

/// The parameters of [`place`].
#[derive(Deserialize)]
struct Place {
    number: String,
    #[serde(default)]
    total: i64,
}

/// Places an order: a method of a new instance. The number is unique, so a job that comes again places nothing.
async fn place(call: Call<'_, order::Entity>, place: Place) -> Result<order::Model, Failure> {
    let mut order = call.active();
    order.number = Set(place.number);
    order.total = Set(place.total);
    order.status = Set("open".to_owned());
    order.reason = Set(String::new());
    Ok(order.insert(call.database()).await?)
}

/// Whether an order is open; for one that is not, the job has failed.
async fn is_open(call: Call<'_, order::Entity>, (): ()) -> Result<bool, Failure> {
    Ok(call.row()?.status == "open")
}

export_plugin!("model" => Orm<Shop>);
