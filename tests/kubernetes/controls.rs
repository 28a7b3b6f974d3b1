//! Each rule is seen to complain: an installation that keeps them all is broken in one place, and the complaint is the
//! one that this place should get.

mod environment;
mod hardening;
mod network;
mod others;
mod references;
mod serving;

use serde_json::Value;

use super::manifests::{Installation, Tree, title};
use super::rules::complaints;

/// An object, what is changed in it, to which JSON (nothing: it is taken away), and a part of the complaint.
///
/// `POD` is short for the pod of a template, and `MAIN` for its first container.
type Control = (&'static str, &'static str, &'static str, &'static str);

/// Breaks an object of this title; generated ones have more behind their name.
fn break_one(all: &mut Installation, (object, pointer, to, _): &Control) {
    let is_meant = |it: &Value| {
        let rest = title(it).strip_prefix(object).map(str::to_owned);
        let is_generated = object.starts_with("ConfigMap/") || object.starts_with("Secret/");
        rest.is_some_and(|rest| rest.is_empty() || (is_generated && rest.starts_with('-')))
    };
    if pointer.is_empty() {
        let before = all.objects.len() + all.given.len();
        all.objects.retain(|it| !is_meant(it));
        all.given.retain(|it| !is_meant(it));
        assert_eq!(all.objects.len() + all.given.len(), before - 1, "there is not one {object}");
        return;
    }
    let pointer = pointer.replace("MAIN", "POD/containers/0").replace("POD", "/spec/template/spec");
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let key = key.replace("~1", "/");
    let mut meant = all.objects.iter_mut().chain(&mut all.given).filter(|it| is_meant(it));
    let parent = meant.next().and_then(|it| it.pointer_mut(parent)).expect(object);
    match (parent, to) {
        (Value::Object(map), &"") => drop(map.remove(&key).expect(&key)),
        (Value::Object(map), to) => drop(map.insert(key, serde_json::from_str(to).expect(to))),
        (Value::Array(items), &"") => drop(items.remove(key.parse().unwrap())),
        (Value::Array(items), to) => {
            items[key.parse::<usize>().unwrap()] = serde_json::from_str(to).expect(to);
        }
        (other, _) => panic!("{object}: {other} has no parts"),
    }
}

fn are_found(folder: &str, controls: &[Control]) {
    let whole = Tree::new().install(folder);
    for control in controls {
        let mut broken = Installation { objects: whole.objects.clone(), given: whole.given.clone() };
        break_one(&mut broken, control);
        let found = complaints(folder, &broken);
        let wanted = control.3;
        assert!(
            found.iter().any(|complaint| complaint.contains(wanted)),
            "{control:?} was not found: {found:#?}"
        );
    }
}
