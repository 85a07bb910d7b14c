// The ring of the live stage, on one canvas. Same scope as live.js.
//
// Listening: bars grow inward (sound goes in). Speaking: bars grow outward (sound comes out). So it reads without
// colour.

const canvas = $('canvas');
const draw = canvas.getContext('2d');
const BARS = 72;
const TURN = Math.PI * 2;
let level = 0;
let shown = 0;
let scheduled = 0;
let painted = 0;
let dirty = true;

function paint(now) {
  const style = getComputedStyle(stage);
  const colour = name => style.getPropertyValue(name).trim();
  const size = canvas.clientWidth || 228;
  const density = Math.min(2, devicePixelRatio || 1);
  if (canvas.width !== size * density) canvas.width = canvas.height = size * density;
  draw.setTransform(density, 0, 0, density, 0, 0);
  draw.clearRect(0, 0, size, size);
  draw.translate(size / 2, size / 2);
  shown += (level - shown) * (level > shown ? 0.55 : 0.18);
  const look = { R: size / 2, s: now / 1000, still: calm.matches, C: colour('--c'), line: colour('--av-line') };
  disc(look, colour('--c-bg'));
  draw.lineCap = 'round';
  draw.lineWidth = Math.max(2.2, size / 62);
  if (state === 'full') seatArcs(look);
  else if ('fault' in stage.dataset) arc(look.R * 0.84, 0, TURN, 4, look.C, [3, 12]);
  else for (let i = 0; i < BARS; i++) ringBar(i, look);
  if (state === 'pausing') {
    const closed = look.still ? 0.5 : Math.min(1, (now - pausedAt) / (data.patience || 900));
    arc(look.R * 0.94, -Math.PI / 2, -Math.PI / 2 + TURN * closed, 5, look.C);
  }
  draw.globalAlpha = 1;
}

function disc({ R, s, still, C, line }, background) {
  const breath = still ? 0 : 0.006 * Math.sin(s * 1.05);
  const size = { speaking: 0.56 + 0.04 * shown, listening: 0.47 + 0.02 * shown }[state] ?? 0.5 + breath;
  const radius = R * size;
  draw.globalAlpha = 1;
  draw.beginPath();
  draw.arc(0, 0, radius, 0, TURN);
  draw.fillStyle = state === 'speaking' ? C : background;
  draw.fill();
  draw.lineWidth = 2;
  draw.strokeStyle = ['idle', 'connecting', 'muted'].includes(state) ? line : C;
  draw.stroke();
}

function arc(radius, from, to, width, colour, dash = []) {
  draw.globalAlpha = 1;
  draw.lineWidth = width;
  draw.strokeStyle = colour;
  draw.setLineDash(dash);
  draw.beginPath();
  draw.arc(0, 0, radius, from, to);
  draw.stroke();
  draw.setLineDash([]);
}

function seatArcs({ R, C }) {
  draw.lineCap = 'butt';
  for (let k = 0; k < data.of; k++) {
    const from = k / data.of * TURN - Math.PI / 2 + 0.09;
    arc(R * 0.82, from, from + TURN / data.of - 0.18, R * 0.13, C);
  }
}

function bar(i, from, to, alpha, colour) {
  const angle = i / BARS * TURN - Math.PI / 2;
  draw.globalAlpha = alpha;
  draw.strokeStyle = colour;
  draw.beginPath();
  draw.moveTo(Math.cos(angle) * from, Math.sin(angle) * from);
  draw.lineTo(Math.cos(angle) * to, Math.sin(angle) * to);
  draw.stroke();
}

function ringBar(i, { R, s, still, C, line }) {
  const mirrored = Math.abs(i / BARS * 2 - 1);
  const drift = still ? 0 : s;
  const waves = Math.sin(mirrored * 9.3 + drift * 2.1) * Math.cos(mirrored * 4.1 - drift * 1.3);
  const texture = 0.38 + 0.62 * Math.abs(waves);
  if (state === 'listening' || state === 'pausing') {
    const alpha = state === 'pausing' ? 0.35 : 0.55 + 0.45 * Math.min(1, shown * 1.6);
    bar(i, R * 0.96 - 3 - R * 0.42 * shown * texture, R * 0.96, alpha, C);
  } else if (state === 'speaking') {
    bar(i, R * 0.66, R * 0.66 + 3 + R * 0.31 * shown * texture, 1, C);
  } else if (state === 'thinking' || state === 'connecting') {
    const behind = ((i / BARS - (still ? 0.2 : s * 0.62)) % 1 + 1) % 1;   // a comet: bright head, fading tail
    const head = behind ** 2.4;
    bar(i, R * 0.76, R * (0.79 + 0.09 * head), 0.22 + 0.78 * head, C);
  } else {
    bar(i, R * 0.86, R * 0.86 + 3, 1, line);
  }
}

// 30 fps while something moves, one still picture otherwise; 4 fps and no travel with reduced motion.
function frame(now) {
  scheduled = 0;
  if (document.hidden || !stage.isConnected) return;
  const moving = LIVE.includes(state) || state === 'connecting' || Math.abs(level - shown) > 0.01;
  if (dirty || now - painted >= (calm.matches ? 250 : 33)) {
    painted = now;
    dirty = false;
    if (stage.offsetParent) paint(now);
  }
  if (moving) scheduled ||= requestAnimationFrame(frame);
}
function kick() {
  dirty = true;
  scheduled ||= requestAnimationFrame(frame);
}
document.addEventListener('visibilitychange', kick);
new ResizeObserver(kick).observe(canvas);
new MutationObserver(kick).observe(document.body, { attributes: true, attributeFilter: ['class'] });
