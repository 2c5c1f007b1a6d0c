// Two components without a library: the box that compares two pictures, and the form that filters a table.

function compare(box) {
  const pictures = JSON.parse(box.querySelector("script").textContent);
  const stage = box.querySelector(".stage"), range = stage.querySelector("input");
  const menu = (name) => box.querySelector(`select[name=${name}]`);
  const show = (side) => {
    const name = menu(side).value, view = (pictures[menu("picture").value] ?? {})[name];
    const figure = stage.querySelector(`figure.${side}`), image = figure.querySelector("img");
    figure.querySelector("figcaption").textContent = view ? [name, view.text].filter(Boolean).join(": ") : `${name}: none`;
    image.hidden = !view;
    if (!view) return;
    image.src = view.src;
    image.alt = `${box.dataset.title}, picture ${menu("picture").value}: ${name}`;
  };
  const split = () => {
    stage.style.setProperty("--split", `${range.value}%`);
    range.setAttribute("aria-valuetext", `${Math.round(range.value)} % ${menu("left").value}, then ${menu("right").value}`);
  };
  const draw = () => { show("left"); show("right"); split(); };
  box.querySelector(".menus").addEventListener("change", draw);
  range.addEventListener("input", split);
  range.hidden = false;
  box.classList.add("live");
  draw();
}

function filter(form) {
  const table = document.getElementById(form.dataset.table);
  const heads = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
  const rows = [...table.tBodies[0].rows].map((row) => ({
    row, cells: [...row.cells].map((cell) => cell.textContent), text: row.textContent.toLowerCase() }));
  const draw = () => {
    const wanted = [...new FormData(form)].filter(([name, value]) => name !== "search" && value);
    const words = form.elements.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const { row, cells, text } of rows) {
      const fits = wanted.every(([name, value]) => cells[heads.indexOf(name)] === value)
        && words.every((word) => text.includes(word));
      row.hidden = !fits;
      count += fits;
    }
    form.querySelector("output").textContent = `${count} of ${rows.length} rows`;
  };
  for (const [name, value] of new URLSearchParams(location.search))  // a link from a table asks for its row
    if (form.elements[name]) form.elements[name].value = value;
  form.addEventListener("input", draw);
  form.addEventListener("reset", () => setTimeout(draw));
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  draw();
}

document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll(".compare").forEach(compare);
  document.querySelectorAll("form.filter").forEach(filter);
});
