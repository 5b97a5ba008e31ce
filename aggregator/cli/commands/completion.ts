/** `headroom completion bash|zsh|fish`: a script that completes commands and options, made from the table of commands. */
import { HeadroomError } from '../../../shared/errors.ts';
import type { Command, OwnCommand } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { optionsOf } from '../options.ts';

const SHELLS = ['bash', 'zsh', 'fish'] as const;

const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

interface Word {
  words: string;
  summary: string;
  options: { name: string; help: string }[];
}

function wordsOf(commands: readonly Command[]): Word[] {
  return commands.map((command) => ({
    words: command.name,
    summary: command.summary,
    options: command.kind === 'api' ? Object.entries(optionsOf(command)).map(([name, { help }]) => ({ name, help })) : [],
  }));
}

/** Bash completes words; zsh does the same through its own layer for such scripts. */
function bash(all: readonly Word[]): string {
  const first = [...new Set(all.map(({ words }) => words.split(' ')[0]!)), 'help', 'version'];
  const grouped = Map.groupBy(
    all.filter(({ words }) => words.includes(' ')),
    ({ words }) => words.split(' ')[0]!,
  );
  const cases = (entries: Iterable<readonly [string, string[]]>): string =>
    [...entries].map(([word, found]) => `      ${quoted(word)}) words=${quoted(found.join(' '))} ;;\n`).join('');
  const seconds = cases([...grouped].map(([group, members]) => [group, members.map(({ words }) => words.split(' ')[1]!)]));
  const options = (count: number): string =>
    cases(
      all.filter(({ words }) => words.split(' ').length === count).map((each) => [each.words, each.options.map(({ name }) => `--${name}`)]),
    );
  return `_headroom() {
  local current=\${COMP_WORDS[COMP_CWORD]} one=\${COMP_WORDS[1]} words=''
  if [[ $current == -* ]]; then
    case "$one" in
${options(1)}    esac
    case "$one \${COMP_WORDS[2]}" in
${options(2)}    esac
  elif [[ $COMP_CWORD == 1 ]]; then
    words=${quoted(first.join(' '))}
  elif [[ $COMP_CWORD == 2 ]]; then
    case "$one" in
${seconds}    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _headroom headroom
`;
}

function fish(all: readonly Word[]): string {
  const lines = ['complete -c headroom -f'];
  for (const { words, summary, options } of all) {
    const [first = '', second] = words.split(' ');
    const seen =
      second === undefined
        ? `__fish_seen_subcommand_from ${first}`
        : `__fish_seen_subcommand_from ${first}; and __fish_seen_subcommand_from ${second}`;
    if (second === undefined) lines.push(`complete -c headroom -n __fish_use_subcommand -a ${first} -d ${quoted(summary)}`);
    else {
      lines.push(`complete -c headroom -n __fish_use_subcommand -a ${first}`);
      lines.push(`complete -c headroom -n ${quoted(`__fish_seen_subcommand_from ${first}`)} -a ${second} -d ${quoted(summary)}`);
    }
    for (const { name, help } of options) lines.push(`complete -c headroom -n ${quoted(seen)} -l ${name} -d ${quoted(help)}`);
  }
  return `${[...new Set(lines)].join('\n')}\n`;
}

/** `commands`: asked for when it runs, since it is one of them. */
export function completionOf(commands: () => readonly Command[]): OwnCommand {
  return {
    kind: 'own',
    name: 'completion',
    summary: 'a script that completes commands and options: bash, zsh or fish',
    async run([shell], io) {
      const all = wordsOf(commands());
      if (shell === 'bash') io.out(bash(all));
      else if (shell === 'zsh') io.out(`autoload -U +X bashcompinit && bashcompinit\n${bash(all)}`);
      else if (shell === 'fish') io.out(fish(all));
      else if (shell === '--help') io.out('headroom completion bash|zsh|fish: for instance  source <(headroom completion bash)\n');
      else throw new HeadroomError('USAGE', `completion: "${shell ?? ''}" is no shell known here: there are ${SHELLS.join(', ')}`);
      return EXIT.ok;
    },
  };
}
