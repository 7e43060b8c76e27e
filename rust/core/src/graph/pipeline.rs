//! Tasks, dataset types and dimensions of a graph, and the names of what data IDs have values of.

use hashbrown::{HashMap, HashSet};
use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::Value;

use super::json::{self, Key};
use super::models::Connections;

/// A task of the pipeline.
#[derive(Debug)]
pub struct Task {
    /// Full name of its class.
    pub class: String,
    /// What a data ID of its quanta has values of.
    pub dimensions: Dimensions,
    /// Dataset types that it reads and writes, by connection.
    pub inputs: Connections<String>,
    /// The same of what it writes, metadata and log included.
    pub outputs: Connections<String>,
}

/// A dataset type of the pipeline.
#[derive(Debug)]
pub struct DatasetType {
    /// Its storage class in the repository.
    pub storage_class: String,
    /// What its data IDs have values of.
    pub dimensions: Dimensions,
}

/// The dimensions of a task or a dataset type.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dimensions {
    /// Names: the required ones, then those that they imply.
    pub names: Vec<String>,
    /// How many are required.
    pub required: usize,
}

impl Dimensions {
    /// The names with the values of a data ID, or what is wrong with that; implied ones may be left out.
    pub fn named<'a>(
        &'a self,
        values: &'a [Key],
    ) -> Result<impl Iterator<Item = (&'a str, &'a Key)> + use<'a>, String> {
        if values.len() != self.required && values.len() != self.names.len() {
            return Err(format!("a data ID has {} values for {}", values.len(), self.names.join(", ")));
        }
        Ok(self.names.iter().map(String::as_str).zip(values))
    }
}

/// What values of a dimension are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// Numbers.
    Int,
    /// Strings.
    Text,
}

/// A graph's pipeline.
#[derive(Debug)]
pub struct Pipeline {
    /// By label.
    pub tasks: IndexMap<String, Task>,
    /// By name.
    pub dataset_types: IndexMap<String, DatasetType>,
    /// All dimensions that anything here has, in the order of the universe.
    pub dimensions: Vec<(String, KeyKind)>,
    /// The text it was read from.
    pub text: Vec<u8>,
}

#[derive(Deserialize)]
struct PipelineText {
    tasks: IndexMap<String, TaskText>,
    dataset_types: IndexMap<String, Option<DatasetTypeText>>,
    dimensions: Option<UniverseText>,
}

#[derive(Deserialize)]
struct TaskText {
    task_class: String,
    dimensions: Option<Vec<String>>,
    #[serde(default)]
    inputs: IndexMap<String, EdgeText>,
    #[serde(default)]
    prerequisite_inputs: IndexMap<String, EdgeText>,
    #[serde(default)]
    outputs: IndexMap<String, EdgeText>,
    metadata_output: Option<EdgeText>,
    log_output: Option<EdgeText>,
}

#[derive(Deserialize)]
struct EdgeText {
    dataset_type_name: String,
}

#[derive(Deserialize)]
struct DatasetTypeText {
    dimensions: Option<Vec<String>>,
    #[serde(default)]
    storage_class: Option<String>,
}

#[derive(Deserialize)]
struct UniverseText {
    #[serde(default)]
    skypix: IndexMap<String, Value>,
    elements: IndexMap<String, ElementText>,
}

#[derive(Deserialize)]
struct ElementText {
    #[serde(default)]
    requires: Vec<String>,
    #[serde(default)]
    implies: Vec<String>,
    #[serde(default)]
    keys: Vec<KeyText>,
}

#[derive(Deserialize)]
struct KeyText {
    r#type: String,
}

impl Pipeline {
    /// Reads the text of a graph's pipeline; the error says what is wrong with it.
    pub fn read(text: Vec<u8>) -> Result<Self, String> {
        let PipelineText { tasks, dataset_types, dimensions } = json::parse(&text)?;
        let universe = dimensions.ok_or("the pipeline does not tell its dimensions")?;
        let universe = Universe::new(universe)?;
        let mut used = HashSet::new();
        let mut resolve = |names: Option<Vec<String>>, what: &str| {
            let names = names.ok_or_else(|| format!("{what} has no dimensions"))?;
            let found = universe.conform(&names)?;
            used.extend(found.names.iter().cloned());
            Ok::<_, String>(found)
        };
        let tasks = tasks
            .into_iter()
            .map(|(label, task)| {
                let dimensions = resolve(task.dimensions, &label)?;
                let named = |edges: IndexMap<String, EdgeText>| {
                    edges.into_iter().map(|(name, edge)| (name, edge.dataset_type_name))
                };
                let inputs = named(task.inputs).chain(named(task.prerequisite_inputs)).collect();
                let special = [("_metadata", task.metadata_output), ("_log", task.log_output)];
                let special = special
                    .into_iter()
                    .filter_map(|(name, edge)| Some((name.to_owned(), edge?.dataset_type_name)));
                let outputs = named(task.outputs).chain(special).collect();
                Ok((label, Task { class: task.task_class, dimensions, inputs, outputs }))
            })
            .collect::<Result<_, String>>()?;
        let dataset_types = dataset_types
            .into_iter()
            // A type that no task has anything to do with is not resolved.
            .filter_map(|(name, found)| Some((name, found?)))
            .map(|(name, found)| {
                let dimensions = resolve(found.dimensions, &name)?;
                Ok((name, DatasetType { storage_class: found.storage_class.unwrap_or_default(), dimensions }))
            })
            .collect::<Result<_, String>>()?;
        let dimensions = universe.order.iter().filter(|name| used.contains(*name));
        let dimensions = dimensions.map(|name| (name.clone(), universe.kind(name))).collect();
        Ok(Self { tasks, dataset_types, dimensions, text })
    }
}

/// Dimensions, what they require and imply, and their order.
struct Universe {
    elements: HashMap<String, ElementText>,
    order: Vec<String>,
    place: HashMap<String, usize>,
}

impl Universe {
    fn new(text: UniverseText) -> Result<Self, String> {
        let mut elements: HashMap<_, _> = text.elements.into_iter().collect();
        // Levels of a pixelization are sorted as one, under its name.
        let mut levels: HashMap<String, (String, u64)> = HashMap::new();
        for (system, of_system) in text.skypix {
            // The other entry names the level that is common.
            let Some(most) = of_system.get("max_level").and_then(Value::as_u64) else { continue };
            let least = of_system.get("min_level").and_then(Value::as_u64).unwrap_or(1);
            if most > MOST_LEVEL {
                return Err(format!("{system} has {most} levels"));
            }
            for level in least..=most {
                let keys = vec![KeyText { r#type: "int".to_owned() }];
                let element = ElementText { requires: Vec::new(), implies: Vec::new(), keys };
                let name = format!("{system}{level}");
                levels.insert(name.clone(), (system.clone(), level));
                elements.insert(name, element);
            }
        }
        let order = in_waves(&elements, &levels)?;
        let place = order.iter().enumerate().map(|(place, name)| (name.clone(), place)).collect();
        Ok(Self { elements, order, place })
    }

    fn kind(&self, name: &str) -> KeyKind {
        let key = self.elements.get(name).and_then(|element| element.keys.first());
        if key.is_some_and(|key| key.r#type == "int") { KeyKind::Int } else { KeyKind::Text }
    }

    /// All that some dimensions bring with them, in the order in which data IDs have values.
    fn conform(&self, names: &[String]) -> Result<Dimensions, String> {
        let mut members = HashSet::new();
        let mut waiting: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut implied = HashSet::new();
        while let Some(name) = waiting.pop() {
            if !members.insert(name) {
                continue;
            }
            let element = self.elements.get(name).ok_or_else(|| format!("there is no dimension {name:?}"))?;
            implied.extend(element.implies.iter().map(String::as_str));
            waiting.extend(element.requires.iter().chain(&element.implies).map(String::as_str));
        }
        let mut members: Vec<_> = members.into_iter().collect();
        members.sort_unstable_by_key(|name| (implied.contains(name), self.place[*name]));
        let required = members.iter().filter(|name| !implied.contains(*name)).count();
        Ok(Dimensions { names: members.into_iter().map(str::to_owned).collect(), required })
    }
}

/// Levels that a pixelization of the sky may have.
const MOST_LEVEL: u64 = 64;

/// Names of elements, each behind all that it requires or implies; alphabetical where that leaves a choice.
fn in_waves(
    elements: &HashMap<String, ElementText>,
    levels: &HashMap<String, (String, u64)>,
) -> Result<Vec<String>, String> {
    let mut order = Vec::with_capacity(elements.len());
    let mut waiting: HashSet<&str> = elements.keys().map(String::as_str).collect();
    while !waiting.is_empty() {
        let mut wave: Vec<&str> = waiting
            .iter()
            .filter(|name| {
                let element = &elements[**name];
                !element.requires.iter().chain(&element.implies).any(|other| waiting.contains(other.as_str()))
            })
            .copied()
            .collect();
        if wave.is_empty() {
            return Err("dimensions require each other".to_owned());
        }
        wave.sort_by_cached_key(|name| levels.get(*name).cloned().unwrap_or_else(|| ((*name).to_owned(), 0)));
        wave.iter().for_each(|name| {
            waiting.remove(name);
        });
        order.extend(wave.into_iter().map(str::to_owned));
    }
    Ok(order)
}
