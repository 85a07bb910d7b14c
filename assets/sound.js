// The microphone and the player of replies, on the worklets of worklets.js. Same scope as transport.js.

const PLAYED_MS = 250;                               // how often the server hears what was heard
const BACKLOG = 32000;                               // bytes of microphone not sent yet: one second; more is stale
const reply = { clauses: [], received: 0, playing: false, reported: 0 };
const sound = { context: null, mic: null, player: null, source: null, stream: null, replaying: false };

// ---- microphone -----------------------------------------------------------------------------------------------------

const FAULTS = {
  NotAllowedError: 'refused', SecurityError: 'refused', NotFoundError: 'missing', OverconstrainedError: 'missing',
  NotReadableError: 'inuse', AbortError: 'inuse',
};
const chosenMic = () => localStorage.getItem('avatar-mic') || '';

async function hear() {
  if (sound.mic) return true;
  const attempt = link.attempt;
  const chosen = chosenMic();
  try {
    const stream = await openMicrophone(chosen);
    const ended = attempt !== link.attempt || !link.wanted;   // while the permission dialog was open
    if (ended || chosen !== chosenMic()) {
      stream.getTracks().forEach(track => track.stop());
      return !ended && hear();
    }
    sound.stream = stream;
    await loadWorklets();
  } catch (error) {
    const fault = FAULTS[error.name];
    if (!fault) throw error;
    send({ t: 'bye' });
    stop();
    ui.set(fault);
    return false;
  }
  if (!sound.stream) return false;
  sound.mic = new AudioWorkletNode(sound.context, 'avatar-microphone', { numberOfOutputs: 0 });
  sound.mic.port.onmessage = ({ data }) => sendFrame(data);
  sound.source = sound.context.createMediaStreamSource(sound.stream);
  sound.source.connect(sound.mic);
  sound.stream.getAudioTracks()[0].onended = () => { if (link.wanted) { ui.onend(); ui.set('missing'); } };
  gate();
  listMicrophones();
  ui.mark('microphone', sound.context.sampleRate);
  return true;
}

async function openMicrophone(deviceId) {
  const wanted = { channelCount: 1, echoCancellation: true, noiseSuppression: true, autoGainControl: true };
  try {
    return await navigator.mediaDevices.getUserMedia({
      audio: deviceId ? { ...wanted, deviceId: { exact: deviceId } } : wanted,
    });
  } catch (error) {
    if (!deviceId || !['OverconstrainedError', 'NotFoundError'].includes(error.name)) throw error;
    return openMicrophone('');                       // the one chosen last time is unplugged
  }
}

async function loadWorklets() {
  if (sound.player) return;
  const url = URL.createObjectURL(new Blob([WORKLETS], { type: 'text/javascript' }));
  await sound.context.audioWorklet.addModule(url);
  URL.revokeObjectURL(url);
  const player = new AudioWorkletNode(sound.context, 'avatar-player', { numberOfInputs: 0, outputChannelCount: [1] });
  player.port.onmessage = ({ data }) => fromPlayer[data.t](data);
  sound.gain = new GainNode(sound.context, { gain: gain() });
  player.connect(sound.gain).connect(sound.context.destination);
  sound.player = player;
}

function sendFrame({ pcm, rms }) {
  if (['listening', 'pausing'].includes(ui.state)) ui.level(loudness(rms));
  if (ui.isMuted || link.socket?.readyState !== 1 || link.socket.bufferedAmount > BACKLOG) return;
  link.socket.send(pcm);
}

const loudness = rms => (rms / 0.25) ** 0.6;          // ordinary speech fills about half of the ring

function gate() {
  const shut = sound.replaying || (prefs.half_duplex && reply.playing);
  sound.mic?.port.postMessage({ gate: shut });
}

async function listMicrophones() {
  const all = (await navigator.mediaDevices?.enumerateDevices?.()) ?? [];
  const mics = all.filter(device => device.kind === 'audioinput' && device.deviceId);
  for (const select of document.querySelectorAll('select.av-mic')) {
    const options = [new Option(t('mic_default'), '')];
    mics.forEach((mic, i) => options.push(new Option(mic.label || t('mic_n', { n: i + 1 }), mic.deviceId)));
    select.replaceChildren(...options);
    select.value = mics.some(mic => mic.deviceId === chosenMic()) ? chosenMic() : '';
  }
}
document.addEventListener('change', async event => {
  if (!event.target.matches?.('select.av-mic')) return;
  localStorage.setItem('avatar-mic', event.target.value);
  if (!sound.mic) return;
  release();
  await hear();
});
document.addEventListener('focusin', event => { if (event.target.matches?.('select.av-mic')) listMicrophones(); });
navigator.mediaDevices?.addEventListener?.('devicechange', listMicrophones);

// ---- volume ---------------------------------------------------------------------------------------------------------

// Of the live reply, and of every player of the page: Gradio's own plays through an element that is in no document.
const gain = () => (prefs.volume / 100) ** 2;         // half the slider is heard as about half as loud
const players = new Set();
const playElement = HTMLMediaElement.prototype.play;
HTMLMediaElement.prototype.play = function () {
  this.volume = gain();
  players.add(this);
  this.addEventListener('ended', () => players.delete(this), { once: true });
  return playElement.call(this);
};
function setVolume() {
  if (sound.gain) sound.gain.gain.value = gain();
  for (const element of players) element.volume = gain();
}
ui.gains = () => [sound.gain?.gain.value, ...[...players].map(element => element.volume)];   // read by tests

// ---- player ---------------------------------------------------------------------------------------------------------

function play(frame) {
  const turn = new DataView(frame).getUint32(0, true);
  if (turn !== link.turn) return;                    // stale: without the tag late frames restarted the sound
  const pcm = frame.slice(4);
  reply.received += pcm.byteLength / 2;
  sound.player?.port.postMessage({ t: 'pcm', turn, pcm }, [pcm]);
}

const fromPlayer = {
  first({ turn }) {
    ui.mark('first', turn);
    reply.playing = true;
    gate();
  },
  tick({ turn, samples, rms }) {
    if (ui.state === 'speaking') {
      ui.level(loudness(rms));
      showReply(samples);
    }
    if (samples - reply.reported >= PLAYED_MS * 24) played({ turn, samples });
  },
  stopped({ turn, samples }) {
    ui.mark('stopped', turn);
    played({ turn, samples });
    quiet();
  },
  done({ turn, samples }) {
    ui.mark('done', turn);
    played({ turn, samples });
    ui.say(joined(reply.clauses.map(clause => clause.text)));
    quiet();
  },
  ducked({ on }) { ui.mark('ducked', on); },
  silent({ turn }) { ui.mark('silent', turn); },
  gap({ turn }) { ui.mark('gap', turn); },
};

function played({ turn, samples }) {
  reply.reported = samples;
  send({ t: 'played', turn, samples });
}

function quiet() {
  reply.playing = false;
  ui.level(0);
  gate();
}

// The clause being spoken and what follows, words already spoken first.
function showReply(position) {
  const { clauses } = reply;
  const index = clauses.findLastIndex(clause => clause.at <= position);
  if (index < 0) return ui.caption('', '', clauses[0]?.text ?? '');
  const { text, at } = clauses[index];
  const until = clauses[index + 1]?.at ?? Math.max(reply.received, at + 1);
  const cut = Math.round(text.length * Math.min(1, (position - at) / (until - at)));
  const space = text.includes(' ') ? text.indexOf(' ', cut) : cut;
  const split = space < 0 ? text.length : space;
  const coming = joined([text.slice(split).trim(), ...clauses.slice(index + 1).map(clause => clause.text)]);
  ui.caption(text.slice(0, split), '', coming.slice(0, 110));
}

ui.oninterrupt = () => {
  sound.player?.port.postMessage({ t: 'flush', turn: link.turn });   // here first, then there
  ui.mark('interrupt', link.turn);
  send({ t: 'interrupt' });
};
ui.onmute = on => send({ t: 'mute', on });
ui.onhold = on => send({ t: 'hold', on });
ui.onreplay = on => {
  sound.replaying = on;
  gate();
};

ui.worklets = WORKLETS;                             // tests run them offline
ui.latency(null);
ui.set('idle');
listMicrophones();
showCaptions();
setTimeout(resume);                                  // Gradio sets the value of a part again, right after it came
keepLooking().then(returned);
window.avatarStaged(ui);
