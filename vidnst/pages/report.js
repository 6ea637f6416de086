"use strict";
for (const input of document.querySelectorAll(".stage input")) {
  const show = () => {
    input.parentElement.style.setProperty("--x", input.value + "%");
    input.setAttribute("aria-valuetext", Math.round(input.value) + " % source");
  };
  input.addEventListener("input", show);
  show();
}
const pairs = [...document.querySelectorAll(".pair")];
const buttons = [...document.querySelectorAll(".choose button")];
const choose = (number) => {
  pairs.forEach((pair, place) => { pair.hidden = place !== number; });
  buttons.forEach((button, place) => button.setAttribute("aria-pressed", String(place === number)));
};
buttons.forEach((button, place) => button.addEventListener("click", () => choose(place)));
if (pairs.length) choose(0);
for (const box of document.querySelectorAll(".command")) {
  const button = box.querySelector("button");
  button.hidden = false;
  button.addEventListener("click", () => {
    const range = document.createRange();
    range.selectNodeContents(box.querySelector("code"));
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    if (navigator.clipboard) navigator.clipboard.writeText(range.toString()).catch(() => {});
    button.textContent = "copied";
    setTimeout(() => { button.textContent = "copy"; }, 1500);
  });
}
