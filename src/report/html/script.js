"use strict";
// Search: a finding stays when all words occur in it; frames of the flame graphs light up.
const box = document.getElementById("search");
const found = document.getElementById("found");
const findings = [...document.querySelectorAll(".finding")];
const frames = [...document.querySelectorAll(".f")];
const textOf = new Map(findings.map((finding) => [finding, textWithoutSource(finding)]));

// Source lines around a place name many things that have no part in the finding.
function textWithoutSource(finding) {
  const copy = finding.cloneNode(true);
  for (const source of copy.querySelectorAll("pre")) source.remove();
  return copy.textContent.toLowerCase();
}

function search() {
  const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const finding of findings) {
    const fits = words.every((word) => textOf.get(finding).includes(word));
    finding.hidden = !fits;
    shown += fits;
  }
  for (const frame of frames) {
    const name = frame.firstElementChild.textContent.toLowerCase();
    frame.classList.toggle("hit", words.length > 0 && words.some((word) => name.includes(word)));
  }
  if (words.length > 0) {
    const suspects = document.getElementById("suspects");
    if (suspects) suspects.open = true;
  }
  found.textContent = words.length > 0 ? `${shown} of ${findings.length}` : "";
}
box.addEventListener("input", search);
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && document.activeElement !== box) {
    event.preventDefault();
    box.focus();
  }
});

// Flame graphs: a click makes a frame as wide as its graph; a click on the lowest one undoes it.
for (const graph of document.querySelectorAll(".flame")) {
  graph.addEventListener("click", (event) => {
    const label = event.target.closest(".f > a");
    if (!label) return;
    for (const frame of graph.querySelectorAll(".f")) frame.classList.remove("wide", "off");
    for (let frame = label.parentElement; frame.classList.contains("f"); frame = frame.parentElement) {
      frame.classList.add("wide");
      for (const other of frame.parentElement.children) {
        if (other !== frame && other.classList.contains("f")) other.classList.add("off");
      }
    }
  });
}
