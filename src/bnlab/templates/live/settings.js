// The controls, and the address that says what they hold: page.html#live?rate=3&sigma=0.01
class Settings {
  constructor(form) {
    this.form = form;
    this.inputs = [...form.querySelectorAll("input, select")];
    this.restore();
    this.show();
    form.addEventListener("input", () => this.show());
  }

  // What each control holds, by name.
  values() {
    return Object.fromEntries(this.inputs.map((input) => [input.name, held(input)]));
  }

  address() {
    return `#live?${new URLSearchParams(this.values())}`;
  }

  // From the address, if that speaks of this at all; what it does not say is as in the paper.
  restore() {
    const [, said] = /^#live\?(.*)$/.exec(location.hash) ?? [];
    if (said === undefined) return false;
    const words = new URLSearchParams(said);
    for (const input of this.inputs) hold(input, words.get(input.name));
    this.show();
    return true;
  }

  show() {
    for (const input of this.inputs.filter(choices)) {
      const text = String(held(input));
      input.setAttribute("aria-valuetext", text);
      input.parentElement.querySelector("output").value = text;
    }
  }
}

// Of a slider, whose own value is the place of one of these.
function choices(input) {
  return input.dataset.values?.split(" ").map(Number);
}

function held(input) {
  return choices(input)?.[input.value] ?? input.value;
}

function hold(input, text) {
  const all = choices(input), number = Number(text);
  if (!all) input.value = [...input.options].some((option) => option.value === text) ? text : input.options[0].value;
  else if (text === null || !(number > 0)) input.value = input.defaultValue;
  else input.value = nearest(all, number);
}

function nearest(all, number) {
  const away = all.map((each) => Math.abs(Math.log(each / number)));
  return away.indexOf(Math.min(...away));
}
