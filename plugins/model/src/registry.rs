//! Which models there are, under which names, with which methods.

use std::{collections::BTreeMap, future::Future, marker::PhantomData, pin::Pin};

use plugin_api::{
    Error,
    serde::{Serialize, de::DeserializeOwned},
    serde_json::{self, Value},
};
use sea_orm::{ConnectionTrait, DatabaseExecutor, EntityTrait, QuerySelect};

use crate::{
    arguments,
    call::{Call, Lent},
    failure::Failure,
    find,
    message::{Message, is_truthy},
};

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a method answers, whatever its type was: its result as JSON, or why there is none.
pub type Answer = Result<Value, Failure>;

/// The models of a plugin, by the names that messages give them.
///
/// A name is a class name of PHP, without the leading backslash: `Order`, or `App\Models\Order` where two namespaces have
/// an `Order` each.
#[derive(Default)]
#[must_use]
pub struct Registry {
    models: BTreeMap<String, Box<dyn Model>>,
    /// Names that were given twice.
    repeated: Vec<String>,
}

impl Registry {
    /// A registry without models.
    pub fn new() -> Self {
        Registry::default()
    }

    /// Adds a model and its methods.
    ///
    /// A name that is given twice, of a model or of a method, keeps the plugin from starting.
    pub fn model<E: EntityTrait>(mut self, name: &str, methods: impl FnOnce(Methods<E>) -> Methods<E>) -> Self
    where
        E::Model: Send + Sync,
    {
        let name = name.trim_start_matches('\\');
        let methods = methods(Methods::new());
        let repeated = methods.repeated.iter();
        self.repeated
            .extend(repeated.map(|method| format!("{name}::{method}")));
        if self.models.insert(name.to_owned(), Box::new(methods)).is_some() {
            self.repeated.push(name.to_owned());
        }
        self
    }

    /// The first name that was given twice.
    pub(crate) fn repeated(&self) -> Option<&str> {
        self.repeated.first().map(String::as_str)
    }

    /// The model that a message means: by its whole name, or by the name inside a namespace that is accepted.
    ///
    /// Without a list every namespace is accepted.
    pub(crate) fn find(&self, name: &str, namespaces: Option<&[String]>) -> Option<&dyn Model> {
        let name = name.strip_prefix('\\').unwrap_or(name);
        if let Some(model) = self.models.get(name) {
            return Some(&**model);
        }
        let (namespace, class) = name.rsplit_once('\\')?;
        let accepted =
            namespaces.is_none_or(|accepted| accepted.iter().any(|one| one.trim_matches('\\') == namespace));
        let model = accepted.then(|| self.models.get(class))??;
        Some(&**model)
    }
}

/// The methods of a model.
#[must_use]
pub struct Methods<E> {
    methods: BTreeMap<String, Box<dyn AnyMethod<E>>>,
    repeated: Vec<String>,
}

impl<E: EntityTrait> Methods<E> {
    fn new() -> Self {
        Methods {
            methods: BTreeMap::new(),
            repeated: Vec::new(),
        }
    }

    /// Adds a method: an `async fn` that takes a [`Call`] and the arguments, and answers with anything that serializes.
    ///
    /// Names are found in any case, as in PHP.
    pub fn method<A, F>(mut self, name: &str, method: F) -> Self
    where
        A: DeserializeOwned + Send + 'static,
        F: for<'a> Method<'a, E, A>,
    {
        let method = Typed {
            method,
            arguments: PhantomData::<fn(A)>,
        };
        let known = self.methods.insert(name.to_ascii_lowercase(), Box::new(method));
        if known.is_some() {
            self.repeated.push(name.to_owned());
        }
        self
    }
}

/// A function that can be a method of the model `E` with the arguments `A`. Every fitting `async fn` is one.
pub trait Method<'a, E: EntityTrait, A>: Send + Sync + 'static {
    /// Calls it.
    fn call(&self, call: Call<'a, E>, arguments: A) -> Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;
}

impl<'a, E, A, F, Fut, R> Method<'a, E, A> for F
where
    E: EntityTrait,
    F: Fn(Call<'a, E>, A) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<R, Failure>> + Send + 'a,
    R: Serialize,
{
    fn call(&self, call: Call<'a, E>, arguments: A) -> Boxed<'a, Answer> {
        let answer = self(call, arguments);
        Box::pin(async move { Ok(serde_json::to_value(answer.await?)?) })
    }
}

/// A method and the type of its arguments.
struct Typed<F, A> {
    method: F,
    arguments: PhantomData<fn(A)>,
}

/// A method whose arguments are still JSON.
trait AnyMethod<E: EntityTrait>: Send + Sync {
    fn call<'a>(&'a self, call: Call<'a, E>, arguments: &Value) -> Boxed<'a, Answer>;
}

impl<E, A, F> AnyMethod<E> for Typed<F, A>
where
    E: EntityTrait,
    A: DeserializeOwned + Send + 'static,
    F: for<'a> Method<'a, E, A>,
{
    fn call<'a>(&'a self, call: Call<'a, E>, arguments: &Value) -> Boxed<'a, Answer> {
        match arguments::read::<A>(arguments.clone()) {
            Ok(arguments) => self.method.call(call, arguments),
            Err(sentence) => Box::pin(async move { Err(Failure::decided(Error::bury(sentence))) }),
        }
    }
}

/// What a model is called with.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) database: &'a DatabaseExecutor<'a>,
    pub(crate) job: &'a dyn Lent,
    pub(crate) message: &'a Message,
}

/// A model of any entity.
pub(crate) trait Model: Send + Sync {
    /// Finds the row, if one is asked for, and calls the method.
    fn call<'a>(&'a self, context: Context<'a>) -> Boxed<'a, Answer>;
}

impl<E: EntityTrait> Model for Methods<E>
where
    E::Model: Send + Sync,
{
    fn call<'a>(&'a self, context: Context<'a>) -> Boxed<'a, Answer> {
        Box::pin(async move {
            let Context {
                database,
                job,
                message,
            } = context;
            let found = if is_truthy(&message.model_params) {
                let query = find::query::<E>(&message.model_params, database.get_database_backend())
                    .map_err(|error| Failure::decided(Error::bury(error)))?;
                let row = query.limit(1).one(database).await?;
                Some(row.ok_or("Model not exist")?)
            } else {
                None
            };
            let name = message.method.as_str().map(str::to_ascii_lowercase);
            let method = name.and_then(|name| self.methods.get(&name));
            let method = method.ok_or("Method not exist")?;
            let call = Call { found, database, job };
            method.call(call, &message.method_params).await
        })
    }
}
