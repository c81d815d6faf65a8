// Draws /status.json, again and again. What comes from elsewhere (names, errors) is written by textContent alone: it is text, whatever it looks like.
"use strict";

const POLL_MS = 2000;
const PATIENCE_MS = 5000;
const HOUR_SECONDS = 3600;
const SPAN_SECONDS_MIN = 600; // of a chart: a node that has just been started has not much to show

const byId = (id) => document.getElementById(id);

// An element with attributes, a class, and children; a string is text.
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children.map((child) => (child instanceof Node ? child : String(child))));
  return made;
}

function drawn(tag, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

// Numbers as core/units.py writes them.
function bytes(count) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let power = 0;
  while (count >= 1024 ** (power + 1) && power < units.length - 1) power += 1;
  return power ? `${(count / 1024 ** power).toFixed(1)} ${units[power]}` : `${count} B`;
}

function duration(seconds) {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(seconds / 3600);
  if (minutes < 60) return `${minutes} min ${Math.floor(seconds) % 60} s`;
  if (hours < 24) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

const latency = (seconds) => (seconds < 1 ? `${(seconds * 1000).toFixed(seconds < 0.01 ? 1 : 0)} ms` : `${seconds.toFixed(1)} s`);
const whole = (number) => number.toLocaleString("en-US").replaceAll(",", " ");
const counted = (count, noun) => `${whole(count)} ${noun}${count === 1 ? "" : "s"}`;
const rate = (number) => (number < 10 ? number.toFixed(1) : whole(Math.round(number)));
const percent = (part, all) => (all ? `${Math.round((100 * part) / all)} %` : "-");
const clock = (time) => new Date(time * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });

// The parts of the page.

function drawState(status) {
  const worst = status.problems.some((problem) => problem.severity === "critical") ? "critical" : status.problems.length ? "warning" : "good";
  const count = counted(status.problems.length, "problem");
  const text = { good: "\u2713 all is well", warning: `\u26a0 ${count}`, critical: `\u2717 ${count}` }[worst];
  setText(byId("state"), text);
  byId("state").className = `state ${worst}`;
  document.title = `${{ good: "\u2713", warning: "\u26a0", critical: "\u2717" }[worst]} ${location.host} \u2013 imagepipe`;
  setText(byId("host"), location.host);
  const node = status.replication ? `, node ${bothNames(status.replication.name, status.replication.node.slice(0, 8))}` : "";
  setText(byId("about"), `imagepipe ${status.version}, up ${duration(status.uptime_seconds)}${node}`);
  byId("problems").replaceChildren(
    ...status.problems.map((problem) => element("li", { class: `problem ${problem.severity}` }, element("b", {}, problem.severity), problem.text)),
  );
}

// A live region is read out when it changes, so it changes only when it says something else.
function setText(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

function tile(name, value, detail = "", meter = null) {
  const description = element("dd", {}, value, element("small", {}, detail));
  if (meter) description.append(element("meter", { ...meter, "aria-label": name }));
  return element("div", { class: "tile" }, element("dt", {}, name), description);
}

function waiting(name, share, queue) {
  const meter = { max: queue.waiting_max || 1, value: share.waiting, high: 0.8 * queue.waiting_max, optimum: 0 };
  return tile(name, whole(share.waiting), `of ${whole(queue.waiting_max)}`, meter);
}

function drawNow(status) {
  const { queue, disk, cache } = status;
  const taken = disk.total_bytes - disk.free_bytes;
  const tiles = [
    tile("Being processed", whole(status.images_being_processed), `of ${queue.running_max} at a time`),
    waiting("Stores waiting", queue.stores, queue),
    waiting("Renditions waiting", queue.renditions, queue),
    tile("Being downloaded", whole(status.originals_being_downloaded), "originals"),
    tile("Engine workers", whole(status.engine_workers), "processes"),
    tile("Disk", `${percent(taken, disk.total_bytes)} full`, `${bytes(disk.free_bytes)} free of ${bytes(disk.total_bytes)}`, {
      max: disk.total_bytes || 1, value: taken, low: 0.9 * disk.total_bytes, high: 0.97 * disk.total_bytes, optimum: 0,
    }),
  ];
  if (cache) {
    const asked = cache.hits + cache.misses;
    tiles.push(
      tile("Render cache", bytes(cache.bytes), `of ${bytes(cache.bytes_max)}, ${counted(cache.files, "file")}`, { max: cache.bytes_max || 1, value: cache.bytes }),
      tile("Cache hits", percent(cache.hits, asked), `${whole(cache.hits)} of ${whole(asked)}`),
    );
  }
  byId("now").replaceChildren(...tiles);
}

function fact(name, value) {
  return element("div", {}, element("dt", {}, name), element("dd", {}, value));
}

function rows(table, found) {
  const labels = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
  table.tBodies[0].replaceChildren(
    ...found.map(({ kind = "", cells, mark = -1 }) =>
      element("tr", { class: kind }, ...cells.map((cell, at) => element("td", { "data-label": labels[at], class: at === mark ? "mark" : "" }, element("span", {}, cell)))),
    ),
  );
  table.hidden = !found.length;
}

const clockAhead = (seconds) => (Math.abs(seconds) < 0.05 ? "0.0 s" : `${seconds < 0 ? "\u2212" : "+"}${Math.abs(seconds).toFixed(1)} s`);
const ago = (seconds) => (seconds === null ? "never" : `${duration(seconds)} ago`);

// What a peer calls itself, and beside it what this node knows it by.
const bothNames = (own, known) => (own && own !== known ? `${own} (${known})` : known);

function drawReplication(replication) {
  byId("peers-section").hidden = !replication;
  if (!replication) return;
  rows(
    byId("upstreams"),
    replication.upstreams.map((peer) => {
      const state = peer.refused ? `\u2717 refused: ${peer.refused}` : peer.connected ? "\u2713 connected" : "\u2717 NOT CONNECTED";
      const ahead = peer.clock_ahead_seconds;
      return {
        kind: peer.connected && !peer.refused ? "" : "critical",
        mark: 1,
        cells: [
          bothNames(peer.peer, peer.name), state, ago(peer.heard_seconds), whole(peer.rows_behind), bytes(peer.bytes_behind),
          peer.rows_behind ? duration(peer.seconds_behind) : "-", ahead === null ? "-" : clockAhead(ahead),
        ],
      };
    }),
  );
  const names = new Map(replication.upstreams.map((peer) => [peer.node, peer.name]));
  const known = (peer) => peer.key || (names.get(peer.node) ?? peer.node.slice(0, 8));
  rows(
    byId("subscribers"),
    replication.subscribers.map((peer) => {
      const silent = peer.heard_seconds >= 30;
      return {
        kind: silent ? "critical" : "",
        mark: 1,
        cells: [bothNames(peer.peer, known(peer)), silent ? "\u2717 SILENT" : peer.behind ? "\u2192 catching up" : "\u2713 up to date", ago(peer.heard_seconds), whole(peer.behind)],
      };
    }),
  );
  rows(byId("pending"), replication.pending_rows.map((row) => ({ cells: [row.path, row.name, bytes(row.size), row.why] })));
  const waiting = replication.pending ? `, the oldest for ${duration(replication.pending_seconds)}` : "";
  byId("replication").replaceChildren(
    fact("Newest change", whole(replication.seq)),
    fact("Changes not yet replicated", whole(replication.unreplicated)),
    fact("Changes waiting for their bytes", whole(replication.pending) + waiting),
    fact("Images that lost a conflict", whole(replication.conflicts)),
    fact("Messages dropped, malformed", `${whole(replication.dropped_messages)}, ${whole(replication.bad_messages)}`),
  );
}

function drawTotals(totals) {
  const sum = (list) => list.reduce((before, each) => before + each.count, 0);
  const formats = totals.image_requests.map((each) => `${each.format} ${whole(each.count)}`).join(", ");
  const server = totals.requests.filter((each) => each.status >= 500);
  byId("totals").replaceChildren(
    fact("Images stored", whole(totals.images_stored)),
    fact("Images deleted, moved", `${whole(totals.images_deleted)}, ${whole(totals.images_moved)}`),
    fact("Renditions rendered", `${whole(sum(totals.image_requests))}${formats ? ` (${formats})` : ""}`),
    fact("Renditions failed", whole(totals.image_requests_failed)),
    fact("Originals downloaded, unavailable", `${whole(totals.originals_downloaded)}, ${whole(totals.originals_unavailable)}`),
    fact("Requests answered", whole(sum(totals.requests))),
    fact("Requests answered with 5xx", whole(sum(server))),
    fact("Received, sent", `${bytes(totals.received_bytes)}, ${bytes(totals.sent_bytes)}`),
    ...totals.failures.map((failed) => fact(`Failures of ${failed.operation}: ${failed.kind}`, whole(failed.count))),
  );
}

function drawErrors(errors) {
  byId("errors-section").hidden = !errors.length;
  rows(byId("errors"), errors.map((error) => ({ cells: [error.when.replace("T", " ").replace("Z", " UTC"), error.what, error.text] })));
}

// The charts. Each has one or two traces; a value of null is a gap.

const WIDTH = 720;
const HEIGHT = 100;

class Chart {
  constructor(name, unit, least, traces) {
    this.unit = unit;
    this.least = least;
    this.traces = traces;
    this.points = [];
    this.pointed = null;
    this.values = element("span", { class: "values" });
    this.top = element("span");
    this.from = element("span");
    this.until = element("span");
    this.svg = drawn("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });
    const plot = element("div", { class: "plot" }, this.svg, this.top);
    this.figure = element("figure", { class: "chart" }, element("figcaption", {}, element("b", {}, name), this.values), plot, element("div", { class: "axis" }, this.from, this.until));
    this.name = name;
    this.svg.addEventListener("pointermove", (event) => {
      const box = this.svg.getBoundingClientRect();
      this.pointed = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
      this.describe();
    });
    this.svg.addEventListener("pointerleave", () => {
      this.pointed = null;
      this.describe();
    });
  }

  // points: [{time, key: value or null, ...}], one for each step up to `end`.
  draw(points, step, end) {
    this.points = points;
    this.step = step;
    this.end = end;
    this.span = Math.min(HOUR_SECONDS, Math.max(SPAN_SECONDS_MIN, end - (points[0]?.time ?? end)));
    const all = points.flatMap((point) => this.traces.map(({ key }) => point[key])).filter((value) => value !== null);
    const most = nice(Math.max(this.least, ...all));
    const x = (time) => WIDTH * (1 - (end - time) / this.span);
    const y = (value) => HEIGHT * (1 - value / most);
    this.svg.replaceChildren(drawn("line", { class: "grid", x1: 0, x2: WIDTH, y1: 0, y2: 0 }), drawn("line", { class: "grid", x1: 0, x2: WIDTH, y1: HEIGHT / 2, y2: HEIGHT / 2 }));
    this.traces.forEach(({ key, kind }, at) => {
      for (const run of runs(points, key, step)) {
        const line = run.map((point) => `${x(point.time + step).toFixed(1)},${y(point[key]).toFixed(1)}`);
        const first = x(run[0].time).toFixed(1);
        if (at === 0) this.svg.append(drawn("path", { class: "area", d: `M${first},${HEIGHT} L${first},${y(run[0][key]).toFixed(1)} L${line.join(" L")} V${HEIGHT} Z` }));
        this.svg.append(drawn("path", { class: `trace ${kind}`, d: `M${first},${y(run[0][key]).toFixed(1)} L${line.join(" L")}` }));
      }
    });
    setText(this.top, this.unit(most));
    setText(this.from, clock(end - this.span));
    setText(this.until, clock(end));
    this.describe();
  }

  // What it says beside its name: the values that are pointed at, or else the newest.
  describe() {
    this.svg.querySelector(".cursor")?.remove();
    let point = this.points.at(-1);
    let prefix = "now";
    if (this.pointed !== null && point) {
      const time = this.end - this.span * (1 - this.pointed);
      point = this.points.find((each) => each.time <= time && time < each.time + this.step);
      prefix = clock(time);
      this.svg.append(drawn("line", { class: "cursor", x1: WIDTH * this.pointed, x2: WIDTH * this.pointed, y1: 0, y2: HEIGHT }));
    }
    const shown = this.traces.map(({ key, label, kind }) => {
      const value = point && point[key] !== null ? this.unit(point[key]) : "-";
      return [label ? `${label} ` : "", element("i", { class: kind }, value)];
    });
    this.values.replaceChildren(`${prefix} `, ...shown.flatMap((pair, at) => (at ? [", ", ...pair] : pair)));
    this.svg.setAttribute("aria-label", `${this.name}: ${this.values.textContent}`);
  }
}

// Points without gaps in them: of values that are not there, and of times at which the node was down.
function runs(points, key, step) {
  const found = [];
  let open = null;
  for (const point of points) {
    if (point[key] === null) open = null;
    else if (open && point.time - open.at(-1).time < 1.5 * step) open.push(point);
    else found.push((open = [point]));
  }
  return found;
}

// The least of 1, 2, 5, 10, 20 and so on that is not less.
function nice(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= value * 0.999);
}

const charts = [
  new Chart("Requests per second", rate, 1, [{ key: "requests_per_second", kind: "first" }]),
  new Chart("Response time", latency, 0.01, [{ key: "median_seconds", kind: "first", label: "median" }, { key: "percentile_95_seconds", kind: "second", label: "95 %" }]),
  new Chart("Jobs waiting", (number) => whole(Math.round(number)), 5, [{ key: "waiting_max", kind: "first" }]),
  new Chart("Lag behind the peers", duration, 5, [{ key: "seconds_behind", kind: "first" }]),
];

// The last hour, kept here: only what is new is asked for.
const hour = { points: [], next: 0 };

function take(recent) {
  const { start, step_seconds: step, ...lists } = recent;
  const names = Object.keys(lists);
  const fresh = lists[names[0]].map((_, at) => ({ time: start + at * step, ...Object.fromEntries(names.map((name) => [name, lists[name][at]])) }));
  hour.next = start + fresh.length * step;
  // A node that was started again counts anew, and may not remember what is here.
  hour.points = [...hour.points.filter((point) => point.time < start - step / 2), ...fresh].filter((point) => point.time >= hour.next - HOUR_SECONDS);
  for (const chart of charts) chart.draw(hour.points, step, hour.next);
}

// Polling.

let answered = null;

// Beside this page, whatever stands before it; without the credentials that may have been typed into its address, which fetch does not take.
function dataUrl(since) {
  const url = new URL(`status.json?since=${since}`, location.href);
  url.username = url.password = "";
  return url;
}

async function poll() {
  try {
    const response = await fetch(dataUrl(hour.next), { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
    if (!response.ok) throw new Error(`status ${response.status}`);
    const { recent, ...status } = await response.json();
    answered = new Date();
    drawState(status);
    drawNow(status);
    drawReplication(status.replication);
    drawTotals(status.totals);
    drawErrors(status.last_errors);
    take(recent);
    byId("silent").hidden = true;
    document.body.classList.remove("stale");
  } catch (error) {
    const since = answered ? `since ${clock(answered / 1000)}: the values below are from then` : "yet";
    setText(byId("silent"), `This node has not answered ${since} (${error.name === "TimeoutError" ? "no answer in time" : error.message}).`);
    byId("silent").hidden = false;
    document.body.classList.add("stale");
    setText(byId("state"), "\u2717 no answer");
    byId("state").className = "state critical";
    document.title = `\u2717 ${location.host} \u2013 imagepipe`;
  } finally {
    setTimeout(poll, POLL_MS);
  }
}

byId("charts").replaceChildren(...charts.map((chart) => chart.figure));
poll();
