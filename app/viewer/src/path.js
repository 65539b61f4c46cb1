// Where a character stands on the floor over time, sampled evenly and smoothed, so that a camera
// that follows it does not bob with every step.
const SMOOTHING = 0.5; // seconds to either side

export class Path {
  constructor(points, duration) {
    this.duration = duration;
    const reach = duration ? Math.round((SMOOTHING * (points.length - 1)) / duration) : 0;
    // A box twice is close to a bell.
    this.points = average(average(points, reach), reach);
  }

  at(time, target) {
    const last = this.points.length - 1;
    const place = this.duration ? Math.min(time / this.duration, 1) * last : 0;
    const index = Math.min(Math.floor(place), Math.max(last - 1, 0));
    return target.lerpVectors(
      this.points[index],
      this.points[Math.min(index + 1, last)],
      place - index,
    );
  }
}

function average(points, reach) {
  const last = points.length - 1;
  return points.map((point, index) => {
    const sum = point.clone().setScalar(0);
    for (let offset = -reach; offset <= reach; offset++)
      sum.add(points[Math.min(Math.max(index + offset, 0), last)]);
    return sum.divideScalar(2 * reach + 1);
  });
}
