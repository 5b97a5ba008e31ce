/** Prints what a command found, in the form that was asked for. */
import type { CommandContext } from '../command.ts';
import { render } from '../output.ts';

export function show({ io, output, watch }: CommandContext, value: unknown, asText: (wide: boolean) => string): void {
  io.out(render(output, value, asText, watch));
}
