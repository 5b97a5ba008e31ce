/**
 * A robust random cut forest over shingles (Guha, Mishra, Roy, Schrijvers, ICML 2016), as a peer to time ours against: trees
 * of random cuts over a sliding sample, each point inserted, scored by its collusive displacement and forgotten in turn. Input:
 * values; output: scores, unbounded. Sizes are the paper's defaults unless told.
 */
import type { Prng } from '../../shared/prng.ts';

interface Node {
  parent: Node | null;
  left: Node | null;
  right: Node | null;
  /** Leaves hold a point, branches a cut. */
  point: Float64Array | null;
  dimension: number;
  cut: number;
  leaves: number;
  low: Float64Array;
  high: Float64Array;
}

function leafOf(point: Float64Array): Node {
  return { parent: null, left: null, right: null, point, dimension: -1, cut: 0, leaves: 1, low: point, high: point };
}

class Tree {
  #root: Node | null = null;
  readonly #random: Prng;

  constructor(random: Prng) {
    this.#random = random;
  }

  insert(point: Float64Array): Node {
    const leaf = leafOf(point);
    let node = this.#root;
    if (node === null) {
      this.#root = leaf;
      return leaf;
    }
    for (;;) {
      const { dimension, cut } = this.#cut(node, point);
      const isLeft = point[dimension]! <= cut;
      const apart = isLeft ? cut < node.low[dimension]! : cut >= node.high[dimension]!;
      if (apart || node.point !== null) {
        this.#branch(node, leaf, dimension, cut, isLeft);
        return leaf;
      }
      node = point[node.dimension]! <= node.cut ? node.left! : node.right!;
    }
  }

  /** The largest ratio of what leaves with the point to what it leaves behind, up the tree. */
  displacement(leaf: Node): number {
    let worst = 0;
    for (let node = leaf; node.parent !== null; node = node.parent) {
      const { parent } = node;
      const sibling = parent.left === node ? parent.right! : parent.left!;
      worst = Math.max(worst, sibling.leaves / node.leaves);
    }
    return worst;
  }

  forget(leaf: Node): void {
    const { parent } = leaf;
    if (parent === null) {
      this.#root = null;
      return;
    }
    const sibling = parent.left === leaf ? parent.right! : parent.left!;
    sibling.parent = parent.parent;
    if (parent.parent === null) this.#root = sibling;
    else if (parent.parent.left === parent) parent.parent.left = sibling;
    else parent.parent.right = sibling;
    for (let node = sibling.parent; node !== null; node = node.parent) summarise(node);
  }

  /** A cut over the box of the node and the point: dimension by extent, place uniform. */
  #cut(node: Node, point: Float64Array): { dimension: number; cut: number } {
    const extents = point.map((value, d) => Math.max(node.high[d]!, value) - Math.min(node.low[d]!, value));
    let at = this.#random.next() * extents.reduce((sum, extent) => sum + extent, 0);
    let dimension = 0;
    while (dimension < extents.length - 1 && at > extents[dimension]!) at -= extents[dimension++]!;
    return { dimension, cut: Math.min(node.low[dimension]!, point[dimension]!) + Math.min(at, extents[dimension]!) };
  }

  #branch(node: Node, leaf: Node, dimension: number, cut: number, isLeft: boolean): void {
    const { parent } = node;
    const [left, right] = isLeft ? [leaf, node] : [node, leaf];
    const branch: Node = { parent, left, right, point: null, dimension, cut, leaves: 0, low: node.low.slice(), high: node.high.slice() };
    if (parent === null) this.#root = branch;
    else if (parent.left === node) parent.left = branch;
    else parent.right = branch;
    node.parent = branch;
    leaf.parent = branch;
    for (let at: Node | null = branch; at !== null; at = at.parent) summarise(at);
  }
}

function summarise(node: Node): void {
  const { left, right, low, high } = node;
  node.leaves = left!.leaves + right!.leaves;
  for (let d = 0; d < low.length; d++) {
    low[d] = Math.min(left!.low[d]!, right!.low[d]!);
    high[d] = Math.max(left!.high[d]!, right!.high[d]!);
  }
}

export class RandomCutForest {
  readonly #trees: { tree: Tree; leaves: Node[] }[];
  readonly #shingle: number[] = [];
  readonly #width: number;
  readonly #kept: number;

  constructor(random: Prng, { trees = 50, kept = 256, width = 8 } = {}) {
    this.#trees = Array.from({ length: trees }, (_, i) => ({ tree: new Tree(random.stream(String(i))), leaves: [] }));
    this.#width = width;
    this.#kept = kept;
  }

  score(value: number): number {
    this.#shingle.push(value);
    if (this.#shingle.length > this.#width) this.#shingle.shift();
    if (this.#shingle.length < this.#width) return 0;
    const point = Float64Array.from(this.#shingle);
    let sum = 0;
    for (const { tree, leaves } of this.#trees) {
      if (leaves.length >= this.#kept) tree.forget(leaves.shift()!);
      const leaf = tree.insert(point);
      leaves.push(leaf);
      sum += tree.displacement(leaf);
    }
    return sum / this.#trees.length;
  }

  /** Bytes of the numbers alone: a cut and two bounds a branch, a point a leaf and tree; engines add their own. */
  get stateBytes(): number {
    const held = this.#trees.reduce((total, { leaves }) => total + leaves.length, 0);
    return held * 8 * (2 * this.#width + 4) + this.#kept * this.#width * 8;
  }
}
