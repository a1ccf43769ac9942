// Keeps the progress on a page up to date, and loads the page again when another run is shown or has ended.
"use strict";
const here = document.body.dataset;
const note = document.getElementById("live");
const events = new EventSource("/live");

function say(text) {
  note.textContent = text;
  note.hidden = false;
}

function show(queue) {
  for (const box of document.querySelectorAll(".queue")) {
    if (box.dataset.device !== queue.device || !queue.progress) continue;
    const bar = box.querySelector("progress"), text = box.querySelector(".text");
    if (bar) bar.value = queue.progress.done_ratio;
    if (text && text.textContent !== queue.text) text.textContent = queue.text;
  }
}

events.addEventListener("status", (event) => {
  const status = JSON.parse(event.data);
  note.hidden = true;
  const own = status.queues.filter((each) => !here.run || [each.running, ...each.queued].includes(here.run));
  const running = (here.run ? own : status.queues).map((each) => each.running || "").join(" ").trim();
  const changed = here.run ? running !== here.running : running !== here.running || (status.newest || "") !== here.newest;
  if (changed && document.querySelector("input:checked")) {
    say("Runs have started or ended since then: load this page again to see them.");  // the choice would be lost
  } else if (changed) {
    events.close();
    location.reload();
    return;
  }
  status.queues.forEach(show);
});
events.addEventListener("error", () => say(events.readyState === EventSource.CLOSED
  ? "The server sends no more news: load this page again."  // such as after the end of a session
  : "The server does not answer. This is its last known state."));
