/**
 * One Debian package, and the same tree as an archive for other systems. Input: what it is called, its files, its set-up script;
 * output: NAME_VERSION_ARCHITECTURE.deb and .tar.gz. dpkg-deb makes it; a machine without it is told so.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { HeadroomError } from '../../shared/errors.ts';
import { ROOT } from './release.ts';

export interface DebSource {
  name: string;
  summary: string;
  /** Lines of the long description. */
  description: readonly string[];
  depends: readonly string[];
  recommends?: readonly string[];
  /** Below /usr/lib: programs, Node, the set-up script. */
  home: string;
  /** The package's part of its set-up, a path in the repository. */
  setup: string;
  /** Paths of other packages' files whose coming calls `setup join-groups`. */
  triggers?: readonly string[];
  /** Absolute path in the package → path in the repository, or what stands in it. */
  files: Readonly<Record<string, { from: string } | { text: string }>>;
  /** Links: path → target. */
  links?: Readonly<Record<string, string>>;
  executable: readonly string[];
  conffiles: readonly string[];
}

export interface BuiltPackage {
  name: string;
  deb: string;
  /** Null in a quick build. */
  archive: string | null;
  debBytes: number;
  /** Installed, bytes. */
  installedBytes: number;
}

/** How hard to press: a release is downloaded often, a test's package once. Not xz: an eighth smaller for a minute more. */
export type Effort = 'release' | 'quick';
const LEVELS: Readonly<Record<Effort, number>> = { release: 12, quick: 1 };

function run(program: string, args: readonly string[], cwd: string): void {
  const done = spawnSync(program, args, { cwd, encoding: 'utf8', maxBuffer: 1 << 26 });
  if (done.error)
    throw new HeadroomError('ENVIRONMENT', `${program} was not found; packages are made on Debian or Ubuntu`, { cause: done.error });
  if (done.status !== 0) throw new HeadroomError('ENVIRONMENT', `${program} ${args.join(' ')}: ${done.stderr.trim()}`);
}

export interface DebTarget {
  version: string;
  /** As Debian calls it. */
  architecture: string;
  /** Directory of the files that are made. */
  output: string;
  effort: Effort;
}

/** `staged`: what was bundled for it, copied to /usr/lib/HOME. */
export function buildDeb(source: DebSource, staged: string, { version, architecture, output, effort }: DebTarget): BuiltPackage {
  const work = mkdtempSync(join(tmpdir(), 'headroom-deb-'));
  try {
    const tree = join(work, 'tree');
    layOut(source, staged, tree);
    const installedBytes = filesBelow(tree).reduce((sum, file) => sum + statSync(file).size, 0);
    mkdirSync(output, { recursive: true });
    const base = join(output, `${source.name}_${version}_${architecture}`);
    const archive = effort === 'quick' ? null : `${base}.tar.gz`;
    if (archive !== null) run('tar', ['--sort=name', '--owner=0', '--group=0', '--numeric-owner', '-czf', archive, '.'], tree);
    writeControl(source, version, architecture, tree, installedBytes);
    run('dpkg-deb', ['--root-owner-group', '-Zzstd', `-z${LEVELS[effort]}`, '--build', tree, `${base}.deb`], work);
    const deb = `${base}.deb`;
    return { name: source.name, deb, archive, debBytes: statSync(deb).size, installedBytes };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function layOut(source: DebSource, staged: string, tree: string): void {
  const home = join(tree, 'usr/lib', source.home);
  mkdirSync(home, { recursive: true });
  cpSync(staged, home, { recursive: true });
  const setup = [join(ROOT, 'scripts/packaging/setup-common.sh'), join(ROOT, source.setup)]
    .map((file) => readFileSync(file, 'utf8'))
    .join('');
  writeFileSync(join(home, 'setup'), setup);
  for (const [path, content] of Object.entries(source.files)) {
    const target = join(tree, path);
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, 'text' in content ? content.text : readFileSync(join(ROOT, content.from)));
  }
  const docs = join(tree, 'usr/share/doc', source.name);
  mkdirSync(docs, { recursive: true });
  cpSync(join(ROOT, 'LICENSE'), join(docs, 'copyright'));
  for (const file of filesBelow(tree)) chmodSync(file, 0o644);
  for (const path of [...source.executable, `/usr/lib/${source.home}/setup`, `/usr/lib/${source.home}/node`])
    chmodSync(join(tree, path), 0o755);
  for (const [path, target] of Object.entries(source.links ?? {})) {
    mkdirSync(dirname(join(tree, path)), { recursive: true });
    run('ln', ['-s', target, join(tree, path)], tree);
  }
}

function writeControl(source: DebSource, version: string, architecture: string, tree: string, installedBytes: number): void {
  const sums = filesBelow(tree).map((file) => {
    const digest = createHash('md5').update(readFileSync(file)).digest('hex');
    return `${digest}  ${relative(tree, file)}\n`;
  });
  const control = join(tree, 'DEBIAN');
  mkdirSync(control);
  const write = (name: string, text: string, mode = 0o644): void => writeFileSync(join(control, name), text, { mode });
  write('control', controlText(source, version, architecture, installedBytes));
  write('md5sums', sums.join(''));
  write('conffiles', source.conffiles.map((path) => `${path}\n`).join(''));
  if (source.triggers) write('triggers', source.triggers.map((path) => `interest-noawait ${path}\n`).join(''));
  for (const [name, text] of Object.entries(maintainerScripts(source))) write(name, text, 0o755);
}

function controlText(source: DebSource, version: string, architecture: string, installedBytes: number): string {
  const fields: Record<string, string> = {
    Package: source.name,
    // Pre-releases come before their release.
    Version: version.replaceAll('-', '~'),
    Architecture: architecture,
    Maintainer: 'The Headroom authors <headroom@localhost>',
    Section: 'admin',
    Priority: 'optional',
    'Installed-Size': String(Math.ceil(installedBytes / 1024)),
    Depends: source.depends.join(', '),
    ...(source.recommends ? { Recommends: source.recommends.join(', ') } : {}),
    Description: [source.summary, ...source.description.map((line) => ` ${line}`)].join('\n'),
  };
  return `${Object.entries(fields)
    .map(([name, value]) => `${name}: ${value}`)
    .join('\n')}\n`;
}

/** What dpkg calls. The set-up script is gone when `purge` comes: `postrm` holds a copy of it. */
function maintainerScripts({ home, setup, triggers }: DebSource): Record<string, string> {
  const own = `/usr/lib/${home}/setup`;
  const whole = [join(ROOT, 'scripts/packaging/setup-common.sh'), join(ROOT, setup)].map((file) => readFileSync(file, 'utf8')).join('');
  const joined = triggers ? `\n  triggered) ${own} join-groups ;;` : '';
  return {
    postinst: `#!/bin/sh\nset -e\ncase "$1" in\n  configure) ${own} configure "$2" ;;${joined}\n  abort-remove) ${own} configure "$2" ;;\nesac\n`,
    prerm: `#!/bin/sh\nset -e\ncase "$1" in\n  remove) ${own} remove ;;\nesac\n`,
    postrm: `#!/bin/sh\nset -e\n[ "$1" = purge ] || exit 0\n${whole}`,
  };
}

function filesBelow(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .toSorted();
}
