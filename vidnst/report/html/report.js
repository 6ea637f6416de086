"use strict";
const inputs = [...document.querySelectorAll(".stage input")];
const slide = (share) => {
  for (const input of inputs) {  // all frames at once, so that another one is seen divided at the same place
    input.value = share;
    input.parentElement.style.setProperty("--x", share + "%");
    input.setAttribute("aria-valuetext", Math.round(share) + " % source");
  }
};
for (const input of inputs) input.addEventListener("input", () => slide(input.value));
slide(50);
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
