/* What is typed into a form with data-keep outlives a session that expires: it stays in this tab
   until the form was accepted. With data-sign-in it comes back only from the page of that address,
   so that nobody takes what they once left unsaved for what is stored. */
"use strict";

const KEPT_PREFIX = "typed:";
const KEPT_FIELDS =
  "input:not([type=hidden], [type=password], [type=file], [name=acknowledged]), textarea, select";

function keptName(form) {
  return KEPT_PREFIX + form.dataset.keep;
}

function chosenIn(field) {
  if (field.matches("[type=checkbox], [type=radio]")) return field.checked;
  return field.matches("select") ? Array.from(field.options, (one) => one.selected) : field.value;
}

function choose(field, chosen) {
  if (typeof chosen === "boolean") field.checked = chosen;
  else if (Array.isArray(chosen)) for (const one of field.options) one.selected = chosen[one.index] ?? false;
  else field.value = chosen;
}

/** One entry per field; those of one name are told apart by their value. */
function keyOf(field) {
  return field.matches("[type=checkbox], [type=radio]") ? `${field.name}=${field.value}` : field.name;
}

function typedInto(form) {
  return Object.fromEntries(panel.all(KEPT_FIELDS, form).map((field) => [keyOf(field), chosenIn(field)]));
}

function putBack(form) {
  const kept = JSON.parse(sessionStorage.getItem(keptName(form)) || "{}");
  for (const field of panel.all(KEPT_FIELDS, form)) {
    if (keyOf(field) in kept) choose(field, kept[keyOf(field)]);
  }
}

function forgetTyped() {
  for (const name of Object.keys(sessionStorage)) {
    if (name.startsWith(KEPT_PREFIX)) sessionStorage.removeItem(name);
  }
}

function mayComeBack(form) {
  const { signIn } = form.dataset;
  return !signIn || (document.referrer && new URL(document.referrer).pathname === signIn);
}

const forms = panel.all("form[data-keep]");
for (const form of forms) {
  if (mayComeBack(form)) putBack(form);
  else sessionStorage.removeItem(keptName(form));
  form.addEventListener("input", () => {
    sessionStorage.setItem(keptName(form), JSON.stringify(typedInto(form)));
  });
}
if (panel.find("#change")) forgetTyped(); // The form was accepted, or is left.
