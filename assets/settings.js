// The settings beside the page (avatar/ui/sidebar.py). The browser keeps what differs from the server's own; it is read here,
// because the controls show it only when every part of the page is there, and Start may be pressed before. Same scope as
// transport.js.

const SETTINGS = 'avatar.settings';
const { fits, usual } = props.settings;

// What an earlier version kept, and this one does not know, is left out.
function keptSettings() {
  let kept = {};
  try { kept = JSON.parse(localStorage.getItem(SETTINGS)) ?? {}; } catch { /* the browser keeps nothing */ }
  const valid = (x, of) => of === null ? typeof x === 'boolean'
    : Array.isArray(of) ? of.includes(x) : typeof x === 'number' && x >= of.min && x <= of.max;
  return Object.fromEntries(Object.entries(fits).filter(([name, of]) => valid(kept[name], of))
    .map(([name]) => [name, kept[name]]));
}
const prefs = { ...usual, ...keptSettings() };
const controls = { ...usual };                       // what they show, as far as they have said

const settings = () => ({
  language: prefs.language, patience_ms: Math.round(prefs.patience_ms), half_duplex: prefs.half_duplex,
  bargein: prefs.bargein, rate_pct: Math.round(prefs.rate_pct),
});
ui.spoken = () => [prefs.language, prefs.rate_pct];
ui.recall = async () => {
  await new Promise(later => setTimeout(later));     // Gradio sets the value of a part again, right after it came
  return Object.keys(fits).map(name => prefs[name]);
};

// A control that shows something else than it did was changed, or shows by now what is kept; the others may not yet.
ui.changed = values => {
  const changed = Object.keys(fits).map((name, i) => [name, values[i]]).filter(([name, value]) => value !== controls[name]);
  Object.assign(controls, Object.fromEntries(changed));
  const news = changed.filter(([name, value]) => value !== prefs[name]);
  if (!news.length) return;
  ui.prefer(Object.fromEntries(news));
  const own = Object.entries(prefs).filter(([name, value]) => value !== usual[name]);
  try { localStorage.setItem(SETTINGS, JSON.stringify(Object.fromEntries(own))); } catch { /* not kept */ }
};

const showCaptions = () => stage.classList.toggle('nocaps', !prefs.captions);
ui.prefer = wanted => {
  Object.assign(prefs, wanted);
  showCaptions();
  send({ t: 'settings', ...settings() });
  gate();
  setVolume();
  if (BUSY.includes(state)) ui.set(state, data);     // whether it can be interrupted by talking may have changed
  heed();
};

// Whether the language that was chosen is understood, as far as the page knows the engines.
function heed() {
  if (noChinese() === (ui.state === 'tongue')) return;
  if (link.wanted) ui.onend();
  if (noChinese()) ui.set('tongue', tongueDetail());
  else if (ui.state === 'tongue') ui.set('idle');
}
