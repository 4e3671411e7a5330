//! A generation: the settings and the staged plugins that a set of workers starts from.
//!
//! It is made without executing anything of a plugin. Its descriptors stay open
//! for as long as a worker of it may have to be reborn.

use std::{collections::BTreeMap, io, os::fd::RawFd, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    Failure,
    children::{Plan, PoolPlan},
    handover::{Descriptors, Kept},
    set_id,
};
use crate::{
    config::{self, Config, HandlerConfig, PluginRef, Sources},
    exit::Exit,
    isolation,
    plugin::{
        PluginError, PluginInfo, StagedRef,
        registry::{self, Asked, Catalog, Request},
        stage::Staged,
        vet,
    },
};

/// Settings and plugins, checked against each other.
#[derive(Debug)]
pub struct Generation {
    /// Its number, from 1.
    pub number: u64,
    /// The settings.
    pub config: Config,
    /// The staged plugins.
    pub catalog: Arc<Catalog>,
    /// By pool: the names of the handlers of its tubes, in the order of the tubes.
    handlers: BTreeMap<String, Vec<String>>,
    /// What the operator should hear about.
    pub warnings: Vec<String>,
}

/// A [`Generation`] as one instance of the master leaves it to the next.
#[derive(Serialize, Deserialize)]
pub(super) struct GenerationLeft {
    number: u64,
    config: Config,
    handlers: BTreeMap<String, Vec<String>>,
    plugins: Vec<StagedRef>,
}

impl GenerationLeft {
    /// The descriptors of its staged plugins. A generation that was made again shares them.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = RawFd> {
        self.plugins.iter().map(|plugin| plugin.fd)
    }
}

impl Generation {
    /// Reads the settings anew and stages the plugins that they name.
    pub fn prepare(number: u64, sources: &Sources) -> Result<Generation, Failure> {
        let resolved =
            config::load(sources).map_err(|errors| Failure::new(errors.exit(), errors.to_string()))?;
        let config = resolved.config;
        let catalog = registry::stage_all(&request(&config))
            .map_err(|errors| Failure::new(errors.exit(), errors.to_string()))?;
        let mut handlers = BTreeMap::new();
        for pool in &config.pools {
            isolation::check(pool)
                .map_err(|error| Failure::new(Exit::Config, format!("pool `{}`: {error}", pool.name)))?;
            let chosen = handlers_of(pool, &catalog)?;
            for handler in &chosen {
                if let Some(given) = config.handlers.get(handler) {
                    set_id::find(pool, handler, given)
                        .map_err(|error| Failure::new(Exit::Config, error.to_string()))?;
                }
            }
            handlers.insert(pool.name.clone(), chosen);
        }
        let mut warnings: Vec<String> = resolved.warnings.iter().map(ToString::to_string).collect();
        warnings.extend(catalog.warnings.iter().map(ToString::to_string));
        for name in config
            .handlers
            .keys()
            .filter(|name| catalog.handlers.plugin(name).is_none())
        {
            warnings.push(format!(
                "there is configuration for handler `{name}`, but no loaded plugin has it"
            ));
        }
        Ok(Generation {
            number,
            config,
            catalog: Arc::new(catalog),
            handlers,
            warnings,
        })
    }

    /// The same settings and plugins as another generation.
    pub fn again(&self, number: u64) -> Generation {
        Generation {
            number,
            config: self.config.clone(),
            catalog: self.catalog.clone(),
            handlers: self.handlers.clone(),
            warnings: Vec::new(),
        }
    }

    /// What was asked for, of which the plugins are what it meant when it was prepared.
    pub fn request(&self) -> Request {
        request(&self.config)
    }

    /// What the next instance of the master has to know of it.
    pub(super) fn leave<'a>(&'a self, kept: &mut Kept<'a>) -> GenerationLeft {
        for staged in &self.catalog.plugins {
            kept.keep(staged);
        }
        GenerationLeft {
            number: self.number,
            config: self.config.clone(),
            handlers: self.handlers.clone(),
            plugins: self.catalog.references(),
        }
    }

    /// The generations of an earlier instance, in ascending order.
    pub(super) fn adopt(
        left: Vec<GenerationLeft>,
        descriptors: &mut Descriptors,
    ) -> io::Result<Vec<Generation>> {
        let mut catalogs: BTreeMap<Vec<RawFd>, Arc<Catalog>> = BTreeMap::new();
        let mut generations = Vec::new();
        for left in left {
            let numbers: Vec<RawFd> = left.descriptors().collect();
            let catalog = match catalogs.get(&numbers) {
                Some(shared) => shared.clone(),
                None => {
                    let plugins = left.plugins.into_iter();
                    let staged = plugins
                        .map(|plugin| Ok(Staged::inherited(plugin.info, descriptors.take(plugin.fd)?)));
                    let catalog = Arc::new(Catalog::inherited(staged.collect::<io::Result<_>>()?));
                    catalogs.insert(numbers, catalog.clone());
                    catalog
                }
            };
            generations.push(Generation {
                number: left.number,
                config: left.config,
                catalog,
                handlers: left.handlers,
                warnings: Vec::new(),
            });
        }
        Ok(generations)
    }

    /// What it asks of its workers.
    pub fn plan(&self) -> Plan {
        Plan {
            pools: self.config.pools.iter().map(pool_plan).collect(),
            start_timeout: self.config.daemon.start_timeout,
        }
    }

    /// The plugin that a handler comes from.
    pub fn plugin(&self, handler: &str) -> Option<&PluginInfo> {
        self.catalog.handlers.plugin(handler).map(|plugin| &**plugin)
    }

    /// A pool by name.
    pub fn pool(&self, name: &str) -> Option<&config::Pool> {
        self.config.pools.iter().find(|pool| pool.name == name)
    }

    /// The handlers of a pool, one for each of its tubes; none for a pool that does not exist.
    pub fn handlers(&self, pool: &str) -> &[String] {
        self.handlers.get(pool).map_or(&[], Vec::as_slice)
    }

    /// The configuration of each handler of a pool.
    pub fn handler_configs(&self, pool: &str) -> BTreeMap<String, HandlerConfig> {
        let config = |name: &String| self.config.handlers.get(name).cloned().unwrap_or_default();
        let handlers = self.handlers(pool).iter();
        handlers.map(|name| (name.clone(), config(name))).collect()
    }
}

/// The handler of each tube of a pool: the tube's own, else the pool's, else the only one that is loaded.
fn handlers_of(pool: &config::Pool, catalog: &Catalog) -> Result<Vec<String>, Failure> {
    let choose = |wanted: Option<&String>, whose: String| {
        let chosen = catalog.handlers.choose(wanted.map(String::as_str));
        let failure = |error: PluginError| Failure::new(error.exit(), format!("{whose}: {}", error.full()));
        chosen.map(str::to_owned).map_err(failure)
    };
    let whose = format!("pool `{}`", pool.name);
    if pool.handler.is_some() || pool.handlers.is_empty() {
        choose(pool.handler.as_ref(), whose.clone())?;
    }
    let of_tube = |tube: &String| {
        let wanted = pool.handlers.get(tube).or(pool.handler.as_ref());
        choose(wanted, format!("{whose}, tube `{}`", tube.escape_debug()))
    };
    pool.tubes.iter().map(of_tube).collect()
}

fn pool_plan(pool: &config::Pool) -> (String, PoolPlan) {
    let plan = PoolPlan {
        seats: pool.worker_num,
        max_unavailable: pool.max_unavailable,
    };
    (pool.name.clone(), plan)
}

/// What settings ask for.
pub(crate) fn request(config: &Config) -> Request {
    let plugins = &config.plugins;
    let load = plugins.load.iter().map(|plugin| match plugin {
        PluginRef::Path(path) => Asked::Path(path.clone()),
        PluginRef::Name(name) => Asked::Name(name.clone()),
    });
    Request {
        load: load.collect(),
        dirs: plugins.dirs.clone(),
        drop_in: plugins.drop_in.clone(),
        policy: vet::Policy {
            allow_unsafe: plugins.allow_unsafe,
            root_alone: config.daemon.user.is_some(),
        },
        lock: plugins.lock.clone().filter(|_| plugins.require_sha256),
    }
}
