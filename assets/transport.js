// The live connection: one WebSocket per session (messages: avatar/wire.py). Same scope as live.js; sound.js, which
// follows, has the microphone and the player. The order matters: socket first, so that a refusal does not wait for a
// permission dialog; the AudioContext is made in the click itself, because browsers let nothing sound without one.

const OPEN_MS = 3000;                                // then the page switches to recordings
const RETRY_MS = [500, 1000, 2000, 4000, 8000];
const ALIVE_MS = 500;                                // the server gives the seat away 1.5 s after the last sign of life
const SILENT_MS = 4000;                              // a server that has said nothing for so long is not reached any more
// A page that is loaded again in the same tab goes on with its conversation.
function kept() {
  try { return sessionStorage.getItem('avatar.conversation') ?? ''; } catch { return ''; }
}
const link = { wanted: false, attempt: 0, tries: 0, socket: null, live: '', had: '', conversation: kept(), turn: 0,
  error: null, unanswered: '' };                     // what was said last, until its turn is stored: see seats.js
let heard = '';

const send = message => {
  if (link.socket?.readyState === 1) link.socket.send(JSON.stringify(message));
};
const keep = () => {
  try { sessionStorage.setItem('avatar.conversation', link.conversation); } catch { /* the browser keeps nothing */ }
};
const publish = () => {
  props.value = { conversation: link.conversation, live: link.live };
  keep();
};
const sentence = ({ code, text }) => (has(`err_${code}`) ? t(`err_${code}`) : text);
ui.value = () => ({ conversation: link.conversation, live: link.live });
const toast = (kind, text) => trigger('notice', { kind, text });

// crypto.randomUUID exists on https and localhost only; typing works elsewhere too.
const hex = byte => byte.toString(16).padStart(2, '0');
const uuid = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), hex).join('');
let lastTyped = { key: '', id: '' };
ui.turnId = (content, accepted) => {
  const key = JSON.stringify(content?.path ?? content);
  const resend = key === lastTyped.key && lastTyped.id !== accepted;
  if (!resend) lastTyped = { key, id: uuid() };
  if (typeof content === 'string') link.unanswered = content;
  return lastTyped.id;
};

// ---- connecting -----------------------------------------------------------------------------------------------------

async function start(unasked = false) {
  if (noChinese()) return ui.set('tongue', tongueDetail());
  if (!window.isSecureContext || !navigator.mediaDevices?.getUserMedia) {
    return ui.set('insecure', { origin: location.origin });
  }
  clearTimeout(link.timer);
  link.wanted = true;
  Object.assign(link, { tries: 0, unasked });
  ui.unmuted();
  ui.set('connecting');
  sound.context ??= new AudioContext({ latencyHint: 'interactive' });
  sound.context.resume();
  await connect();
}

async function connect() {
  const attempt = ++link.attempt;
  const current = () => link.wanted && attempt === link.attempt;
  link.error = null;
  disconnect();
  const timeout = setTimeout(() => { if (current()) unreachable(); }, OPEN_MS);
  link.spoken = () => clearTimeout(timeout);         // the server has said something
  const ticket = await server.token({}).catch(() => null);
  if (!current()) return clearTimeout(timeout);
  if (!ticket?.token) {
    clearTimeout(timeout);
    return ticket?.text ? over(ticket) : unreachable();
  }
  const url = new URL('avatar/ws', document.baseURI);
  url.protocol = url.protocol.replace('http', 'ws');
  const socket = link.socket = new WebSocket(url);
  socket.binaryType = 'arraybuffer';
  const hello = { t: 'hello', token: ticket.token, conversation: link.conversation, live: link.tries ? link.had : '' };
  socket.onopen = () => send({ ...hello, ...settings() });
  socket.onmessage = event => { if (socket === link.socket) receive(event.data); };
  socket.onclose = event => {
    clearTimeout(timeout);
    if (socket === link.socket) closed(event.code);
  };
}

// A pulled cable closes no socket, so each end counts the other's signs of life. The clock is a worker's: the timers of
// a page in the background are slowed down, a worker's are not.
function beat() {
  if (!link.pulse) {
    const clock = `setInterval(() => postMessage(0), ${ALIVE_MS})`;
    const url = URL.createObjectURL(new Blob([clock], { type: 'text/javascript' }));
    link.pulse = new Worker(url);
    URL.revokeObjectURL(url);
  }
  let beats = 0;                                     // since the server's last word
  link.spoken = () => { beats = 0; };
  link.pulse.onmessage = () => {
    if (++beats * ALIVE_MS > SILENT_MS) return lost();
    send({ t: 'alive' });
  };
}

async function unreachable() {
  const { attempt } = link;
  if (await anew()) return location.reload();
  if (attempt !== link.attempt || link.live) return;  // it was only slow, and has answered meanwhile
  if (link.tries) return lost();
  stop();
  ui.set('offline');
  const header = document.querySelector('#record button');
  if (header && !header.classList.contains('open')) header.click();
  setTimeout(() => document.getElementById('record')?.scrollIntoView({ block: 'nearest' }), 300);   // it unfolds first
}

function closed(code) {
  disconnect();
  if (!link.wanted) return;
  if (link.error?.code === 'SERVER_FULL' && link.error.n >= link.error.of) return full();
  const meant = code === 1000 || (code >= 4000 && code < 5000 && code !== 4401);   // 4401: the token was used up
  if (meant) over(link.error);
  else lost();
}

function lost() {
  const n = ++link.tries;
  link.attempt++;                                    // what is still under way counts no more
  disconnect();
  ui.set('lost', { n });
  link.timer = setTimeout(connect, RETRY_MS[Math.min(n, RETRY_MS.length) - 1]);
}

function over(error) {
  stop();
  ui.set('idle');
  if (!error) return;
  ui.hint(sentence(error));
  if (!error.told) toast('error', sentence(error));
}

function disconnect() {
  const socket = link.socket;
  link.socket = null;
  socket?.close();
  link.pulse?.terminate();
  link.pulse = null;
  link.live = '';
  link.state = null;
  sound.player?.port.postMessage({ t: 'reset' });
  reply.playing = false;
}

// Only here is the stage's value told that nothing is live: each change asks the server, and Gradio loads the page again
// after a question that a server which restarts does not answer. Then nothing goes on by itself.
function stop() {
  link.wanted = false;
  clearTimeout(link.timer);
  disconnect();
  publish();
  release();
  sound.context?.suspend();
}

// A stream whose tracks are stopped goes on as silence: its frames would mix with those of the next microphone.
function release() {
  sound.stream?.getTracks().forEach(track => track.stop());
  sound.source?.disconnect();
  sound.mic?.port.postMessage({ ended: true });
  if (sound.mic) sound.mic.port.onmessage = null;    // what it had sent before
  sound.stream = sound.source = sound.mic = null;
}

ui.onstart = () => start();
ui.onend = () => {
  send({ t: 'bye' });
  stop();
  ui.set('idle');
  setTimeout(look, 500);                             // the seat is free by then: show it
};

// ---- what the server says -------------------------------------------------------------------------------------------

function receive(message) {
  link.spoken();
  if (typeof message !== 'string') return play(message);
  const fields = JSON.parse(message);
  on[fields.t]?.(fields);
}

const on = {
  async ready({ live, conversation, n, of }) {
    const another = live !== link.live;
    if (another) link.turn = 0;
    const { tries, unasked } = link;                 // it hears without having been asked now
    if (tries) back = performance.now();
    Object.assign(link, { live, had: live, conversation, tries: 0, unasked: false });
    publish();
    beat();
    ui.seats(n, of);
    ui.mark('ready', live);
    if (another) sound.player?.port.postMessage({ t: 'reset' });
    trigger('turn', { live });
    if (!await hear()) return;
    ui.set(link.state?.state ?? 'listening', { patience: link.state?.patience_ms });
    if ((tries || unasked) && !ui.isMuted) ui.hint(t('hears_again'));
    if (unasked) toast('info', t('hears_again'));
    if (spaceHeld) ui.onhold(true);                  // Space started the conversation and is still down
  },
  state(fields) {
    link.state = fields;
    if (!sound.mic) return;                          // the microphone is still being opened
    if (fields.state === 'thinking' && heard) {
      ui.say(heard);
      link.unanswered = heard;
    }
    if (fields.state === 'speaking' || fields.state === 'thinking') heard = '';
    if (fields.state === 'listening' && ui.state !== 'listening' && !heard) ui.caption('', '');
    ui.set(fields.state, { patience: fields.patience_ms });
  },
  heard({ final, partial }) {
    heard = `${final} ${partial}`.trim();
    ui.caption(final, partial);
  },
  turn({ turn }) {
    link.turn = turn;
    Object.assign(reply, { clauses: [], received: 0, reported: 0 });
    sound.player?.port.postMessage({ t: 'turn', turn });
    ui.mark('turn', turn);
    trigger('turn', { live: link.live, turn });
  },
  clause({ turn, text, at }) {
    if (turn === link.turn) reply.clauses.push({ text, at });
  },
  latency(turn) {
    ui.latency(turn);
  },
  duck({ on }) {
    ui.mark('duck-asked', on);
    sound.player?.port.postMessage({ t: 'duck', on });
  },
  flush({ turn }) {
    ui.mark('flush', turn);
    sound.player?.port.postMessage({ t: 'flush', turn });
  },
  end({ turn, samples }) {
    sound.player?.port.postMessage({ t: 'end', turn, samples });
  },
  saved({ turn }) {
    ui.mark('saved', turn);
    if (turn === link.turn) link.unanswered = '';
    trigger('turn', { live: link.live, turn });      // shows the play links
  },
  take() {
    trigger('turn', { live: link.live });            // shows its play link
  },
  merged({ turn }) {
    ui.mark('merged', turn);
    on.flush({ turn });
    trigger('turn', { live: link.live, turn });
  },
  seats({ n, of }) {
    ui.seats(n, of);
  },
  idle({ left_s }) {
    const words = t('idle_soon', { left: Math.round(left_s) });
    ui.hint(words);
    toast('info', words);
  },
  notice(fields) {
    if (fields.code === 'NOTHING_HEARD') ui.hint(t('nothing'));
    else toast('info', sentence(fields));
  },
  error(fields) {
    link.error = { ...fields, told: ui.state !== 'connecting' };   // a refusal is told when the socket closes
    link.unanswered = '';
    ui.mark('error', fields.code);
    if (link.error.told) toast('error', sentence(fields));
  },
};

// ---- the page -------------------------------------------------------------------------------------------------------

ui.fresh = () => {                                   // its id comes with the next `ready`
  link.conversation = '';
  publish();
  send({ t: 'new' });
};

watch('value', () => {                               // Python opened another conversation, or began a new one
  const { conversation, live, latency } = props.value;
  if (latency) {                                     // of a turn without a socket
    ui.latency(latency);
    link.unanswered = '';
  }
  const another = conversation !== link.conversation;
  link.conversation = conversation;
  keep();
  if (live !== link.live) publish();
  if (!another || !link.live) return;
  if (conversation) connect();
  else ui.fresh();
});
