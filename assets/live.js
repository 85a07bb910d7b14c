// The live stage: states, captions, latency card. This is the body of gr.HTML(js_on_load=...): element, props, trigger,
// server and watch are given. controls.js, ring.js, transport.js, seats.js and sound.js follow in the same body and move it:
// ui.set(state, data), ui.level(0..1), ui.caption(said, partial, coming), ui.latency(turn), ui.seats(n, of); and give it
// ui.onstart, onend, oninterrupt, onmute and onhold.

const $ = query => element.querySelector(query);
const stage = $('.av-stage');

// ---- words ----------------------------------------------------------------------------------------------------------

const chinese = /^zh/i.test(navigator.languages?.[0] || navigator.language || 'en');
const WORDS = props.strings[chinese ? 'zh-TW' : 'en'];
const fill = (text, values, how) => text.replace(/\{(\w+)\}/g, (_, name) => how(values[name] ?? ''));
const t = (key, values = {}) => fill(WORDS[key] ?? props.strings.en[key] ?? key, values, String);
const escaped = text => String(text).replace(/[&<>"']/g, c => `&#${c.charCodeAt(0)};`);
const markup = (key, values = {}) => fill(WORDS[key] ?? props.strings.en[key], values, escaped);
const grouped = ms => ms.toLocaleString('en-US');   // 1,234, as in the conversation and on Status
const has = key => key in WORDS || key in props.strings.en;

// Between two pieces of a sentence: Chinese has no spaces.
const gap = before => (!before || /[\u3000-\u9fff\uff00-\uffef]$/.test(before) ? '' : ' ');
const joined = pieces => pieces.filter(Boolean).reduce((text, piece) => text + gap(text) + piece, '');

// ---- icons ----------------------------------------------------------------------------------------------------------

const ICONS = {
  mic: '<rect x="9" y="3" width="6" height="11" rx="3"/><path d="M5 11a7 7 0 0 0 14 0M12 18v3"/>',
  micoff: '<path d="M4 4l16 16M9 5.4A3 3 0 0 1 15 6v5.2M9 9.4V11a3 3 0 0 0 4.5 2.6M5 11a7 7 0 0 0 10.9 5.8'
    + 'M19 11a7 7 0 0 1-.9 3.4M12 18v3"/>',
  wave: '<path d="M4 10v4M8 7v10M12 4v16M16 7v10M20 10v4"/>',
  dots: '<g fill="currentColor" stroke="none"><circle cx="5" cy="12" r="2.3"/><circle cx="12" cy="12" r="2.3"/>'
    + '<circle cx="19" cy="12" r="2.3"/></g>',
  stop: '<rect x="5" y="5" width="14" height="14" rx="3" fill="currentColor"/>',
  seat: '<circle cx="12" cy="8" r="3.5"/><path d="M5 20a7 7 0 0 1 14 0"/>',
  lock: '<rect x="5" y="11" width="14" height="9" rx="2"/><path d="M8 11V8a4 4 0 0 1 8 0v3"/>',
  link: '<path d="M4 12a8 8 0 0 1 14-5M20 12a8 8 0 0 1-14 5M18 3v4h-4M6 21v-4h4"/>',
  end: '<path d="M6 6l12 12M18 6L6 18"/>',
  ear: '<path d="M7 9a5 5 0 0 1 10 0c0 4-4 4-4 8a3 3 0 0 1-6 0M9.5 9a2.5 2.5 0 0 1 5 0"/>',
};
const svg = name => '<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.8" '
  + `stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">${ICONS[name]}</svg>`;

// ---- states ---------------------------------------------------------------------------------------------------------

const GLYPH = {
  idle: 'mic', connecting: 'dots', listening: 'mic', pausing: 'mic', thinking: 'dots', speaking: 'wave',
  muted: 'micoff', full: 'seat', refused: 'micoff', missing: 'micoff', inuse: 'micoff',
  insecure: 'lock', lost: 'link', offline: 'link', gone: 'link', tongue: 'ear',
};
const LIVE = ['listening', 'pausing', 'thinking', 'speaking', 'muted'];
const BUSY = ['thinking', 'speaking'];
const calm = matchMedia('(prefers-reduced-motion: reduce)');
const touch = matchMedia('(pointer: coarse)');      // no Space to hold there
function hintOf(next) {
  if (next === 'idle' && touch.matches) return 'hi_idle_touch';
  if (BUSY.includes(next) && muted) return 'hi_muted';
  if (next === 'speaking' && prefs.half_duplex) return 'hi_speaking_deaf';
  return `hi_${next}`;
}
let state = 'idle';
let data = {};
let pausedAt = 0;
let muted = false;
let told = { sentence: '', until: 0 };               // a hint that must not be overwritten at once
let captioned = '';                                  // what the captions show, as JSON; '' is something else

function button(query, icon, label, pressed) {
  const node = $(query);
  node.innerHTML = `${svg(icon)}<span>${label}</span>`;
  node.setAttribute('aria-label', label);
  if (pressed !== undefined) node.setAttribute('aria-pressed', pressed);
}

function drawButtons() {
  const live = LIVE.includes(state);
  const main = $('.av-main');
  if (BUSY.includes(state)) main.innerHTML = `${svg('stop')}${t('interrupt')} <kbd>Esc</kbd>`;
  else if (live) main.innerHTML = `${svg('end')}${t('end')}`;
  else main.innerHTML = 'fault' in stage.dataset ? `${svg('link')}${t('retry')}` : `${svg('mic')}${t('start')}`;
  main.disabled = state === 'connecting';
  $('.av-mute').hidden = !live;
  $('.av-end').hidden = !BUSY.includes(state) && state !== 'lost';
  button('.av-mute', muted ? 'micoff' : 'mic', t(muted ? 'unmute' : 'mute'), muted);
  button('.av-end', 'end', t('end'));
}

const ui = window.avatarUI = {
  log: [],                                           // [what, performance.now(), detail]: read by tests and the bench
  mark(what, detail) {
    ui.log.push([what, performance.now(), detail]);
    if (ui.log.length > 2000) ui.log.splice(0, 1000);
  },

  get state() { return state; },
  get isMuted() { return muted; },

  set(next, detail = {}) {
    if (muted && (next === 'listening' || next === 'pausing')) next = 'muted';
    if (state === 'idle' && next !== 'idle') ui.caption('', '');   // the engines' names stood there
    if (next === 'pausing' && state !== 'pausing') pausedAt = performance.now();
    if (next !== state) ui.mark('state', next);
    state = next;
    data = detail;
    stage.dataset.state = next;
    const fault = has(`no_${next}`);
    stage.toggleAttribute('data-fault', fault);
    $('.av-glyph').innerHTML = svg(GLYPH[next]);
    const word = t(`st_${next}`, detail);
    if ($('.av-state').textContent !== word) $('.av-state').textContent = word;   // said once, not at every message
    const keep = ['idle', 'listening', 'muted'].includes(next) && performance.now() < told.until;
    $('.av-hint').textContent = fault ? '' : keep ? told.sentence : t(hintOf(next), detail);
    $('.av-hint').hidden = fault;
    $('.av-notice').hidden = !fault;
    if (fault) {
      $('.av-notice').innerHTML = markup(`no_${next}`, detail);
      ui.caption('', '');
    }
    // The chat's own live region is polite too and would read every streamed word: `say` tells finished lines.
    const talking = LIVE.includes(next) || ['connecting', 'lost'].includes(next);
    document.querySelector('#chat [role=log]')?.setAttribute('aria-live', talking ? 'off' : 'polite');
    drawButtons();
    if (next === 'idle') ui.ready();
    drawPill();
    kick();
  },

  hint(sentence) {
    told = { sentence, until: performance.now() + HINT_MS };
    $('.av-hint').textContent = sentence;
    $('.av-hint').hidden = false;
  },

  level(x) { level = Math.min(1, Math.max(0, x)); },

  caption(said, partial, coming) {
    const asked = JSON.stringify([said, partial, coming]);
    if (asked === captioned) return;                 // 50 times a second while a reply plays: a layout each time
    captioned = asked;
    const line = document.createElement('p');
    for (const [name, words] of [['final', said], ['partial', partial], ['unheard', coming]]) {
      if (!words) continue;
      const span = Object.assign(document.createElement('span'), { className: `av-${name}`, textContent: words });
      line.append(gap(line.textContent), span);
    }
    const box = $('.av-caption');
    box.replaceChildren(...(line.childNodes.length ? [line] : []));
    // Its height is fixed, so that the button below never moves: it shows the newest words, or what is being spoken and
    // what comes next.
    const row = parseFloat(getComputedStyle(box).lineHeight);
    const spoken = line.querySelector('.av-final');
    const until = spoken ? spoken.offsetTop + spoken.offsetHeight : row;
    box.scrollTop = coming ? row * (Math.round(until / row) - 1) : line.offsetHeight;
  },

  // Idle: who would answer now, in the captions' place, so that the button never moves.
  ready(now = ui.engines) {
    ui.engines = now;
    if (!now) return;
    $('.av-demo').textContent = now.engines.llm?.demo ? t('demo') : '';
    if (state !== 'idle') return;
    const kinds = [['stt', 'hear'], ['llm', 'think'], ['tts', 'speak']];
    const rows = [kinds.map(([stage, colour]) => {
      const engine = now.engines[stage];
      const wait = engine && engine.pct !== null ? t('warming', engine) : t('not_ready');
      const words = engine?.ready ? engine.name : engine ? `${engine.name} (${wait})` : wait;
      const verb = t(`lat_${stage}`) + (chinese ? '：' : ': ');
      return `<span class="av-eng" style="--k:var(--av-${colour})">${verb}<b>${escaped(words)}</b></span>`;
    }).join('')];
    if (now.engines.stt?.english_only) rows.push(markup('english_only', now.engines.stt));
    if (now.coming) rows.push(markup('coming', now.coming));
    captioned = '';
    $('.av-caption').innerHTML = rows.map(row => `<p>${row}</p>`).join('');
  },

  // Screen readers hear finished lines only; the log keeps the last ones.
  say(line) {
    const log = $('.av-log');
    log.append(Object.assign(document.createElement('p'), { textContent: line }));
    while (log.childNodes.length > 20) log.firstChild.remove();
  },

  // turn: {eot, stt, llm, tts: ms, ttft: ms or nothing, engines: {stage: name}}, or null before the first turn.
  latency(turn) {
    const card = $('.av-lat');
    card.hidden = false;
    card.classList.toggle('none', !turn);
    const goal = `<u style="left:${100 * GOAL_MS / FULL_MS}%"></u>`;
    if (!turn) {
      card.innerHTML = `<div class="av-lat-top"><span>${t('lat_none')}</span></div>`
        + `<div class="av-bar" aria-hidden="true">${goal}</div>`;
      return;
    }
    const ms = Object.fromEntries(PARTS.map(([part]) => [part, Math.round(Number(turn[part]) || 0)]));
    const total = PARTS.reduce((sum, [part]) => sum + ms[part], 0);
    const good = total <= GOAL_MS;
    const verdict = good ? t('lat_in') : t('lat_over', { by: grouped(total - GOAL_MS) });
    const parts = PARTS.slice(ms.eot ? 0 : ms.stt ? 1 : 2);   // what was recorded has ended, and nothing typed is heard
    const bars = parts.map(([part]) => `<i class="av-${part}" style="width:${100 * ms[part] / FULL_MS}%"></i>`);
    const first = turn.ttft ? t('lat_first', { ms: grouped(Math.round(turn.ttft)) }) : '';
    const below = part => [turn.engines?.[part], part === 'llm' && first].filter(Boolean).join(' · ');
    const legs = parts.map(([part, colour]) => `<div style="--k:var(--av-${colour})"><dt>${t(`lat_${part}`)}</dt>`
      + `<dd>${grouped(ms[part])} ms<small>${escaped(below(part))}</small></dd></div>`);
    card.setAttribute('aria-label', t(ms.eot || ms.stt ? 'lat_read' : 'lat_read_typed', { total, ...ms }));
    card.innerHTML = `<div class="av-lat-top" aria-hidden="true"><b>${grouped(total)} ms</b><span>${t('lat_what')}</span>`
      + `<span class="av-goal ${good ? 'av-good' : 'av-slow'}">${verdict}</span></div>`
      + `<div class="av-bar" aria-hidden="true">${bars.join('')}${goal}</div><dl class="av-legs">${legs.join('')}</dl>`;
  },

  seats(n, of) {
    const dots = Array.from({ length: of }, (_, i) => `<i class="${i < n ? 'on' : ''}"></i>`).join('');
    for (const node of document.querySelectorAll('.av-seats')) {
      node.classList.toggle('full', n >= of);
      const drawn = `<span class="av-dots" aria-hidden="true">${of <= 10 ? dots : ''}</span>`
        + `<span>${t('seats', { n, of })}</span>`;
      if (node.innerHTML !== drawn) node.innerHTML = drawn;
    }
  },

  start() { ui.onstart?.(); },
  end() { ui.onend?.(); },
  interrupt() {
    ui.oninterrupt?.();
    ui.caption('', '');                              // what was not heard is not said any more
    ui.set('listening');
    ui.hint(t('stopped'));
  },
  mute() {
    muted = !muted;
    ui.set(BUSY.includes(state) ? state : 'listening', data);
    ui.onmute?.(muted);
  },
  unmuted() { muted = false; },
};
const HINT_MS = 4000;
const PARTS = [['eot', 'rest'], ['stt', 'hear'], ['llm', 'think'], ['tts', 'speak']];
const GOAL_MS = 500;
const FULL_MS = 1500;
const NARROW_PX = 510;                               // below it the side buttons show no words
new ResizeObserver(() => stage.classList.toggle('narrow', stage.clientWidth < NARROW_PX)).observe(stage);

$('.av-ai').textContent = t('ai');
$('.av-keys').innerHTML = [['Space', 'k_space'], ['Esc', 'k_esc'], ['Enter', 'k_enter']]
  .map(([key, word]) => `<span><kbd>${key}</kbd>${t(word)}</span>`).join('');
