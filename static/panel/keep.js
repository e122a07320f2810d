/* What is typed into a form with data-keep outlives a session that expires: it stays in this tab
   until the form was accepted. */
"use strict";

const KEPT_PREFIX = "typed:";
const KEPT_FIELDS = "input:not([type=hidden], [type=checkbox], [type=password]), textarea, select";

function keptName(form) {
  return KEPT_PREFIX + form.dataset.keep;
}

function typedInto(form) {
  const fields = {};
  for (const field of panel.all(KEPT_FIELDS, form)) {
    if (field.type === "radio" && !field.checked) continue;
    fields[field.name] = field.value;
  }
  return fields;
}

function putBack(form) {
  const kept = JSON.parse(sessionStorage.getItem(keptName(form)) || "{}");
  for (const field of panel.all(KEPT_FIELDS, form)) {
    if (!(field.name in kept)) continue;
    if (field.type === "radio") field.checked = field.value === kept[field.name];
    else field.value = field.value || kept[field.name];
  }
}

function forgetTyped() {
  for (const name of Object.keys(sessionStorage)) {
    if (name.startsWith(KEPT_PREFIX)) sessionStorage.removeItem(name);
  }
}

const forms = panel.all("form[data-keep]");
for (const form of forms) {
  putBack(form);
  form.addEventListener("input", () => {
    sessionStorage.setItem(keptName(form), JSON.stringify(typedInto(form)));
  });
}
if (panel.find("#change")) forgetTyped(); // The form was accepted, or is left.
