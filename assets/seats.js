// Before Start: how many seats are taken, which engines would answer, whether they understand 中文, and whether the server is
// there at all. Same scope as transport.js.

const noChinese = () => prefs.language === 'zh' && ui.engines?.chinese.ready === false;
function tongueDetail() {
  const { engines, chinese: { get } } = ui.engines;
  const how = !get ? 'get_none' : get.why ? 'get_rung' : 'get_coming';
  return { name: engines.stt?.name ?? t('lat_stt'), get: t(how, get ?? {}) };
}

async function look() {
  const now = await server.look({}).catch(() => null);
  if (!now) return null;
  ui.seats(now.seats.n, now.seats.of);
  ui.ready(now);
  if (['idle', 'tongue'].includes(ui.state)) heed();
  return now;
}

async function full() {
  stop();
  const now = await look();
  ui.set('full', { of: now?.seats.of ?? 5 });
  const poll = async () => {
    if (ui.state !== 'full') return;
    const { seats } = (await look()) ?? {};
    if (ui.state !== 'full') return;
    if (!seats || seats.n >= seats.of) return void (link.timer = setTimeout(poll, 5000));
    ui.set('idle');
    ui.hint(t('seat_free'));
    toast('info', t('seat_free'));
  };
  link.timer = setTimeout(poll, 5000);
}

// A page that was loaded again shows its conversation before Start, and what it had when the server went away.
function resume() {
  publish();
  trigger('resume', { conversation: link.conversation });
  if (was?.tab > 0) tabs()[was.tab]?.click();
  if (was?.typed) retype(was.typed);
  if (was?.unanswered) toast('info', t('unanswered'));
}

// A server that was restarted is another one: the page's parts may have other numbers there, and logins are forgotten.
async function anew() {
  const answer = await fetch('gradio_api/app_id').catch(() => null);
  const { app_id } = (await answer?.json().catch(() => null)) ?? {};
  return answer?.status === 401 || (app_id !== undefined && app_id !== window.gradio_config.app_id);
}

// Gradio loads the page again, up to 2 s after the return of a server that left a question unanswered. sessionStorage: the
// page then says why, goes on if a conversation was live, on the tab that was open, and has the words that were typed and
// not sent, or those of a turn that a crash cut off before it was stored.
const AWAY = 'avatar.away';
const BACK_MS = 5000;
let back = -BACK_MS;                                 // when the server was there again
const tabs = () => [...document.querySelectorAll('button[role=tab]')];
const textBox = () => document.querySelector('#type textarea, #type input');
addEventListener('pagehide', () => {
  if (!['lost', 'gone'].includes(ui.state) && performance.now() - back > BACK_MS) return;
  const tab = tabs().findIndex(button => button.ariaSelected === 'true');
  const typed = textBox()?.value;
  const left = { live: link.wanted && !ui.isMuted, tab, typed: typed || link.unanswered,
    unanswered: !typed && !!link.unanswered };
  try { sessionStorage.setItem(AWAY, JSON.stringify(left)); } catch { /* nothing is kept */ }
});
let was = null;                                      // what the page had that went away
try { was = JSON.parse(sessionStorage.getItem(AWAY)); } catch { /* nothing was kept */ }
const boxed = () => new Promise(found => {           // the text box, once it is there
  const look = () => {
    if (!textBox()) return;
    watching.disconnect();
    found(textBox());
  };
  const watching = new MutationObserver(look);
  watching.observe(document.body, { childList: true, subtree: true });
  look();
});
async function retype(words) {
  const box = await boxed();
  if (box.value) return;                             // somebody was faster
  box.value = words;
  box.dispatchEvent(new Event('input'));
}
async function returned() {
  try { sessionStorage.removeItem(AWAY); } catch { /* nothing was kept */ }
  if (!was) return;
  const may = was.live && await unasked();
  if (ui.state !== 'idle') return;
  if (may) start(true);
  else ui.hint(t('back_again'));
}
async function unasked() {                           // whether the browser lets us hear, and sound, without a click
  const microphone = await navigator.permissions?.query({ name: 'microphone' }).catch(() => null);
  if (microphone?.state !== 'granted') return false;
  sound.context ??= new AudioContext({ latencyHint: 'interactive' });
  await Promise.race([sound.context.resume(), new Promise(wait => setTimeout(wait, 500))]);
  return sound.context.state === 'running';
}

let missed = 0;                                      // looks in a row that were not answered
async function looked(now) {
  missed = now ? 0 : missed + 1;
  if (now && ui.state === 'gone') {
    back = performance.now();
    ui.set('idle');
    ui.hint(t('back_again'));
  } else if (missed > 1) {
    if (await anew()) return location.reload();
    if (['idle', 'tongue'].includes(ui.state)) ui.set('gone');
  }
}

async function keepLooking() {                       // often while something warms up, rarely after that
  let engines = ui.engines;
  if (!document.hidden && ['idle', 'tongue', 'gone'].includes(ui.state)) await looked(engines = await look());
  const warm = engines && !engines.coming && Object.values(engines.engines).every(engine => engine?.ready);
  setTimeout(keepLooking, warm ? 15000 : 2000);
}
