// Keeps the overview up to date; without it the page is the same, and its link "Refresh" loads it again.
"use strict";

const main = document.querySelector("main[data-refresh]");
const link = document.getElementById("again");
const seconds = Number(main.dataset.refresh);
const button = document.createElement("button");
let paused = false;

function say() {
  button.textContent = paused ? "Refresh by itself" : `Refreshes every ${seconds} s. Pause`;
  button.setAttribute("aria-pressed", String(paused));
}

async function refresh() {
  if (paused || document.hidden || main.querySelector("[data-live] :focus")) return;
  let answer;
  try {
    answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  } catch {
    return; // the network is away; the page says of when it is
  }
  if (answer.redirected) location.reload(); // to where one signs in
  if (!answer.ok || answer.redirected) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const wasOpen = document.getElementById("table").open;
  const here = [...main.querySelectorAll("[data-live]")].map((part) => part.dataset.live);
  const there = [...fresh.querySelectorAll("[data-live]")].map((part) => part.dataset.live);
  if (here.join() !== there.join()) return location.reload(); // a part came or went
  for (const part of main.querySelectorAll("[data-live]")) {
    part.replaceWith(fresh.querySelector(`[data-live="${part.dataset.live}"]`));
  }
  document.getElementById("table").open = wasOpen;
  document.querySelector("footer").replaceWith(fresh.querySelector("footer"));
}

button.type = "button";
button.className = "quietly";
button.addEventListener("click", () => { paused = !paused; say(); });
say();
link.after(button);
setInterval(refresh, seconds * 1000);
