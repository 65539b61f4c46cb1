window.motionmamba = {
  get player() {
    return document.querySelector("#player iframe")?.contentWindow?.viewer;
  },
  // these two are on the way of inputs from the page to its server
  // the 3-D player shows what is chosen, before there is a video of it
  look(inputs, figure) {
    this.mode = figure === "Skeleton" ? "skeleton" : "mesh";
    this.player?.setMode(this.mode);
    return inputs;
  },
  // the next motion needs the processor that the last one plays on; its result comes into view
  // where it is below the controls
  begin(inputs) {
    this.player?.pause();
    if (innerWidth < 760) document.querySelector("#news").scrollIntoView({ behavior: "smooth" });
    return inputs;
  },
  // the address keeps the settings, so that it can be shared
  share(keys, values) {
    const found = new URLSearchParams();
    keys.forEach((key, index) => {
      const value = values[index];
      const usual = value === 0 && key !== "seed" && key !== "guidance";
      if (key && value !== "" && value !== null && !usual) found.set(key, value);
    });
    history.replaceState(null, "", `?${found}`);
  },
};
// a player begins in the chosen mode and in the page's colours
new MutationObserver(() => {
  const frame = document.querySelector("#player iframe:not([data-seen])");
  if (!frame) return;
  frame.dataset.seen = "";
  frame.addEventListener("load", () => {
    const { player, mode } = motionmamba;
    if (!player) return;
    player.theme = document.body.classList.contains("dark") ? "dark" : "light";
    if (mode) player.setMode(mode);
  });
}).observe(document, { childList: true, subtree: true });
