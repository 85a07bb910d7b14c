// Audio worklets: the microphone at 16 kHz in 20 ms frames, and the player of 24 kHz replies. They run on the audio
// thread at the context's own rate (44.1 or 48 kHz), because a context at another rate loses echo cancellation.

const MIC_RATE = 16000;
const REPLY_RATE = 24000;
const FRAME = 320;          // samples of a microphone frame: 20 ms
const SLICE = 480;          // reply samples resampled at a time: 20 ms, so that a long frame never stalls a quantum
const JITTER_S = 0.06;      // of a turn's audio before it starts to play; never between its frames
const DUCKED = 0.2;         // gain while we find out whether the user is speaking
const RAMP_S = 0.02;
const FADE_S = 0.005;       // at a flush: short enough to count as silent, long enough not to click
const TICK_S = 0.05;

// Streaming resampler by a windowed sinc, one row of taps per output phase. The cutoff is 0.9 of the lower Nyquist
// frequency and the Blackman window spans 16 zero crossings a side, so that what could alias is gone.
class Resampler {
  constructor(from, to) {
    const gcd = (a, b) => (b ? gcd(b, a % b) : a);
    const common = gcd(from, to);
    this.phases = to / common;
    this.step = from / common;                       // in units of 1/phases input samples
    const cutoff = 0.9 * Math.min(1, to / from);
    this.half = Math.ceil(16 / Math.min(1, to / from));
    this.table = Array.from({ length: this.phases }, (_, p) => this.taps(p / this.phases, cutoff));
    this.reset();
  }

  taps(offset, cutoff) {
    const row = new Float32Array(2 * this.half);
    let sum = 0;
    for (let k = 0; k < row.length; k++) {
      const x = k - this.half + 1 - offset;          // distance of this input sample from the output instant
      const sinc = x === 0 ? 1 : Math.sin(Math.PI * cutoff * x) / (Math.PI * cutoff * x);
      const w = Math.PI * (x / this.half);
      row[k] = Math.abs(x) >= this.half ? 0 : sinc * (0.42 + 0.5 * Math.cos(w) + 0.08 * Math.cos(2 * w));
      sum += row[k];
    }
    return row.map(tap => tap / sum);                // gain 1 at 0 Hz in every phase
  }

  reset() {
    this.past = new Float32Array(this.half - 1);
    this.position = 0;                               // of the next output, in 1/phases samples from the window's start
  }

  push(input) {
    const all = new Float32Array(this.past.length + input.length);
    all.set(this.past);
    all.set(input, this.past.length);
    const out = [];
    let start = Math.floor(this.position / this.phases);
    while (start + 2 * this.half <= all.length) {
      const row = this.table[this.position % this.phases];
      let y = 0;
      for (let k = 0; k < row.length; k++) y += row[k] * all[start + k];
      out.push(y);
      this.position += this.step;
      start = Math.floor(this.position / this.phases);
    }
    const used = Math.min(start, all.length);
    this.past = all.subarray(used);
    this.position -= used * this.phases;
    return out;
  }
}

class Microphone extends AudioWorkletProcessor {
  constructor() {
    super();
    this.resampler = new Resampler(sampleRate, MIC_RATE);
    this.frame = new Int16Array(FRAME);
    this.filled = 0;
    this.energy = 0;
    this.gate = false;                               // half duplex: silence goes out, the server's clock goes on
    this.ended = false;                              // another microphone takes its place; this one is freed
    this.port.onmessage = event => Object.assign(this, event.data);
  }

  process([[samples]]) {
    if (!samples || this.ended) return !this.ended;
    for (const value of this.resampler.push(samples)) {
      const x = this.gate ? 0 : Math.max(-1, Math.min(1, value));
      this.energy += x * x;
      this.frame[this.filled++] = Math.round(x * 32767);
      if (this.filled === FRAME) this.send();
    }
    return true;
  }

  send() {
    const pcm = this.frame.slice().buffer;
    this.port.postMessage({ pcm, rms: Math.sqrt(this.energy / FRAME) }, [pcm]);
    this.filled = 0;
    this.energy = 0;
  }
}

// Plays the frames of one turn after another. Messages in: turn, pcm, end, flush, duck. Messages out: first (the first
// rendered sample), tick (samples played, level), gap, stopped, done, ducked, silent.
class Player extends AudioWorkletProcessor {
  constructor() {
    super();
    this.resampler = new Resampler(REPLY_RATE, sampleRate);
    this.stale = 0;                                  // frames of turns up to this one are dropped
    this.tail = [];
    this.silencing = null;                           // the turn whose fade is being rendered after a flush
    this.begin(0);
    this.port.onmessage = event => this[event.data.t](event.data);
  }

  begin(turn) {
    this.number = turn;                              // 0: none
    this.frames = [];
    this.waiting = 0;                                // reply samples in `frames`
    this.ready = [];                                 // resampled, not rendered yet
    this.rendered = 0;                               // at the context's rate
    this.total = null;                               // reply samples of the turn, once the server has said so
    this.arrived = null;                             // when the first frame came, in context time
    this.primed = false;                             // the jitter buffer was full once
    this.started = false;
    this.dry = false;
    this.drained = false;
    this.sinceTick = 0;
    this.energy = 0;
    this.gain = 1;
    this.target = 1;
    this.resampler.reset();
  }

  turn({ turn }) {
    if (turn <= this.stale || turn === this.number) return;
    if (this.primed) this.fade();
    this.stale = turn - 1;
    this.begin(turn);
  }

  pcm({ turn, pcm }) {
    if (turn <= this.stale) return;
    this.turn({ turn });
    const frame = new Int16Array(pcm);
    this.frames.push(frame);
    this.waiting += frame.length;
    this.arrived ??= currentTime;
  }

  end({ turn, samples }) {
    if (turn !== this.number) return;
    this.total = samples;
    if (this.arrived === null) this.finish();        // a reply without sound
  }

  flush({ turn }) {
    this.stale = Math.max(this.stale, turn);
    if (this.number > this.stale) return;
    const sounding = this.primed;
    if (sounding) this.fade();
    this.report('stopped');
    this.begin(0);
    if (sounding) this.silencing = turn;
    else this.port.postMessage({ t: 'silent', turn });
  }

  reset() {                                          // another session: its turns count from one again
    if (this.primed) this.fade();
    this.stale = 0;
    this.begin(0);
  }

  duck({ on }) {
    this.target = on ? DUCKED : 1;
  }

  // What is due next, faded out, becomes a tail that is mixed in beside the next turn.
  fade() {
    const length = Math.round(FADE_S * sampleRate);
    this.refill(length);
    this.tail = this.ready.slice(0, length).map((x, i) => x * this.gain * (1 - i / length));
  }

  refill(count) {
    while (this.ready.length < count && this.frames.length) {
      const frame = this.frames[0];
      const slice = frame.subarray(0, SLICE);
      if (slice.length === frame.length) this.frames.shift();
      else this.frames[0] = frame.subarray(SLICE);
      this.waiting -= slice.length;
      for (const y of this.resampler.push(Float32Array.from(slice, v => v / 32768))) this.ready.push(y);
    }
    if (!this.frames.length && this.total !== null && !this.drained) {
      for (const y of this.resampler.push(new Float32Array(this.resampler.half))) this.ready.push(y);
      this.drained = true;                           // the resampler held the last sounds; now it is empty
    }
  }

  process(_, [[out]]) {
    if (!this.primed && this.arrived !== null) {
      const full = this.waiting >= JITTER_S * REPLY_RATE || currentTime - this.arrived >= JITTER_S;
      this.primed = full || this.total !== null;
    }
    if (this.primed) this.play(out);
    else this.ramp(out.length);
    if (this.tail.length || this.silencing !== null) this.mixTail(out);
    return true;
  }

  play(out) {
    this.refill(out.length);
    const count = Math.min(out.length, this.ready.length);
    for (let i = 0; i < count; i++) {
      out[i] = this.ready[i] * this.gain;
      this.energy += out[i] * out[i];
      this.ramp(1);
    }
    this.ready.splice(0, count);
    this.rendered += count;
    this.sinceTick += count;
    if (count && !this.started) {
      this.started = true;
      this.port.postMessage({ t: 'first', turn: this.number });
    }
    if (this.sinceTick >= TICK_S * sampleRate) this.report('tick');
    if (count < out.length && this.drained) this.finish();
    else if (count < out.length && !this.dry) this.port.postMessage({ t: 'gap', turn: this.number });
    this.dry = count < out.length;                   // a frame is late: go on the moment it is here
  }

  finish() {
    this.report('done');
    this.stale = Math.max(this.stale, this.number);
    this.begin(0);
  }

  ramp(samples) {
    if (this.gain === this.target) return;
    const step = (1 - DUCKED) / (RAMP_S * sampleRate) * samples;
    const left = this.target - this.gain;
    this.gain = Math.abs(left) <= step ? this.target : this.gain + Math.sign(left) * step;
    if (this.gain === this.target) this.port.postMessage({ t: 'ducked', on: this.target < 1 });
  }

  mixTail(out) {
    const count = Math.min(out.length, this.tail.length);
    for (let i = 0; i < count; i++) out[i] += this.tail[i];
    this.tail.splice(0, count);
    if (this.tail.length || this.silencing === null) return;
    this.port.postMessage({ t: 'silent', turn: this.silencing });
    this.silencing = null;
  }

  report(t) {
    if (!this.number) return;
    const heard = Math.round(this.rendered * REPLY_RATE / sampleRate);
    const samples = t === 'done' ? this.total : Math.min(heard, this.total ?? heard);
    const rms = this.sinceTick ? Math.sqrt(this.energy / this.sinceTick) : 0;
    this.port.postMessage({ t, turn: this.number, samples, rms });
    this.sinceTick = 0;
    this.energy = 0;
  }
}

registerProcessor('avatar-microphone', Microphone);
registerProcessor('avatar-player', Player);
