//! The table `orders`.

use sea_orm::entity::prelude::*;
use serde::Serialize;

/// A row.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "orders")]
pub(crate) struct Model {
    #[sea_orm(primary_key)]
    pub(crate) id: i64,
    #[sea_orm(unique)]
    pub(crate) number: String,
    pub(crate) status: String,
    pub(crate) reason: String,
    pub(crate) total: i64,
}

/// What belongs to an order: nothing here.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
