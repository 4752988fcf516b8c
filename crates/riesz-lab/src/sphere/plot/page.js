(() => {
  const canvases = [...document.querySelectorAll("canvas")];
  if (!canvases.length) return;
  const slider = document.getElementById("time"), button = document.getElementById("play"), now = document.getElementById("now");
  let turn = 0.42, tilt = 0.31, playing = false, spin = true;
  const color = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  // Between two frames the points move on straight lines and are put back on the sphere.
  const at = (panel, time) => {
    const place = time * (panel.frames.length - 1), k = Math.min(Math.floor(place), panel.frames.length - 1);
    const a = panel.frames[k], b = panel.frames[Math.min(k + 1, panel.frames.length - 1)], share = place - k;
    const x = a.x.map((value, i) => value + share * (b.x[i] - value));
    for (let i = 0; i < x.length; i += 3) {
      const length = Math.hypot(x[i], x[i + 1], x[i + 2]) || 1;
      x[i] /= length; x[i + 1] /= length; x[i + 2] /= length;
    }
    return { x, frame: share < 0.5 ? a : b };
  };
  const draw = () => {
    const time = slider.value / 1000;
    const blue = color("--c0"), orange = color("--c1"), soft = color("--soft"), rule = color("--rule"), tint = color("--tint"), paper = color("--paper");
    const words = [];
    for (const canvas of canvases) {
      const panel = PANELS[canvas.dataset.panel], { x, frame } = at(panel, time);
      const size = canvas.clientWidth * devicePixelRatio;
      if (canvas.width !== Math.round(size)) canvas.width = canvas.height = Math.round(size);
      const c = canvas.getContext("2d"), middle = canvas.width / 2, radius = middle * 0.9, unit = canvas.width / 300;
      c.clearRect(0, 0, canvas.width, canvas.height);
      c.beginPath(); c.arc(middle, middle, radius, 0, 7); c.fillStyle = tint; c.fill(); c.strokeStyle = rule; c.lineWidth = unit; c.stroke();
      const seen = i => {
        const [a, b, z] = [x[3 * i], x[3 * i + 1], x[3 * i + 2]];
        const right = a * Math.cos(turn) - b * Math.sin(turn), deep = a * Math.sin(turn) + b * Math.cos(turn);
        return [middle + radius * right, middle - radius * (deep * Math.sin(tilt) + z * Math.cos(tilt)), deep * Math.cos(tilt) - z * Math.sin(tilt)];
      };
      const points = [...Array(panel.n * panel.views).keys()].map(i => [i, ...seen(i)]);
      c.lineWidth = unit; c.strokeStyle = soft;
      // Edges are those of the minimum: they fade in as it is reached.
      for (const [i, j] of panel.edges) {
        const [, ax, ay, az] = points[i], [, bx, by, bz] = points[j];
        c.globalAlpha = (az + bz < 0 ? 0.15 : 0.55) * time ** 4;
        c.beginPath(); c.moveTo(ax, ay); c.lineTo(bx, by); c.stroke();
      }
      const r = Math.min(7, Math.max(2, 28 / Math.sqrt(panel.n))) * unit;
      points.sort((a, b) => a[3] - b[3]);
      for (const [i, px, py, depth] of points) {
        c.globalAlpha = depth < 0 ? 0.3 : 1;
        c.beginPath();
        if (i < panel.n) { c.arc(px, py, r, 0, 7); c.fillStyle = blue; c.fill(); c.strokeStyle = paper; c.stroke(); }
        else { c.arc(px, py, r + 2.5 * unit, 0, 7); c.strokeStyle = orange; c.stroke(); }
      }
      c.globalAlpha = 1;
      words.push(`step ${frame.i}: ${frame.v.toPrecision(8)}`);
    }
    now.textContent = words.join("  ·  ");
  };
  let last = 0;
  const tick = stamp => {
    const passed = Math.min(stamp - last, 50); last = stamp;
    if (playing) {
      slider.value = Math.min(1000, +slider.value + passed / 8);
      if (+slider.value >= 1000) { playing = false; button.textContent = "Play"; }
    }
    if (spin && !matchMedia("(prefers-reduced-motion: reduce)").matches) turn += passed * 0.00012;
    draw();
    requestAnimationFrame(tick);
  };
  button.addEventListener("click", () => {
    playing = !playing;
    if (playing && +slider.value >= 1000) slider.value = 0;
    button.textContent = playing ? "Pause" : "Play";
  });
  slider.addEventListener("input", () => { playing = false; button.textContent = "Play"; });
  for (const canvas of canvases) {
    canvas.addEventListener("pointerdown", event => { canvas.setPointerCapture(event.pointerId); spin = false; });
    canvas.addEventListener("pointermove", event => {
      if (!canvas.hasPointerCapture(event.pointerId)) return;
      turn += event.movementX * 0.008;
      tilt = Math.max(-1.5, Math.min(1.5, tilt + event.movementY * 0.008));
    });
  }
  requestAnimationFrame(tick);
})();
