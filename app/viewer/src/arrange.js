// Puts several characters side by side, in rows of about as many as there are rows.
const GAP = 0.6;
const LONGEST_ROW = 4;

export function arrange(characters) {
  const columns =
    characters.length <= LONGEST_ROW ? characters.length : Math.ceil(Math.sqrt(characters.length));
  let depth = 0;
  for (let first = 0; first < characters.length; first += columns) {
    const row = characters.slice(first, first + columns);
    const width = row.reduce((sum, { box }) => sum + size(box, 'x') + GAP, -GAP);
    let left = -width / 2;
    for (const { box, position } of row) {
      position.set(left - box.min.x, 0, depth);
      left += size(box, 'x') + GAP;
    }
    depth -= Math.max(...row.map(({ box }) => size(box, 'z'))) + GAP;
  }
  if (characters.length === 1) characters[0].position.setScalar(0);
}

function size(box, axis) {
  return box.max[axis] - box.min[axis];
}
