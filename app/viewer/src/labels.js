// The prompts of several characters, as text over their heads.
import { Vector3 } from 'three';

export class Labels {
  constructor(container, characters) {
    this.characters = characters;
    document.getElementById('caption').hidden = true;
    this.labels = characters.map(({ title }) => {
      const label = document.createElement('p');
      label.className = 'label';
      label.textContent = title;
      container.append(label);
      return label;
    });
  }

  update(time, camera, width, height) {
    const place = new Vector3();
    this.characters.forEach(({ path, position, box }, index) => {
      path
        .at(time, place)
        .add(position)
        .setY(box.max.y + 0.12)
        .project(camera);
      const { style } = this.labels[index];
      style.visibility = Math.abs(place.z) < 1 ? 'visible' : 'hidden';
      style.transform = `translate(-50%, -100%) translate(${((place.x + 1) / 2) * width}px, ${((1 - place.y) / 2) * height}px)`;
    });
  }
}
