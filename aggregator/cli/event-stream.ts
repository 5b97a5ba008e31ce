/** Server-sent events from bytes. Input: a stream of bytes; output: each event's id and data. Heartbeats are left out. */

export interface StreamedEvent {
  id: string;
  data: string;
}

/** An event that never ends must not fill memory; the longest real ones are some kilobytes. */
const EVENT_LETTERS_MAX = 4 * 1024 * 1024;

export async function* readEvents(body: ReadableStream<Uint8Array>): AsyncGenerator<StreamedEvent> {
  const decoder = new TextDecoder();
  let text = '';
  for await (const bytes of body) {
    text += decoder.decode(bytes, { stream: true });
    const blocks = text.split('\n\n');
    text = blocks.pop() ?? '';
    if (text.length > EVENT_LETTERS_MAX) throw new Error(`an event of more than ${EVENT_LETTERS_MAX} letters`);
    for (const block of blocks) {
      const event = parsed(block);
      if (event !== null) yield event;
    }
  }
}

function parsed(block: string): StreamedEvent | null {
  let id = '';
  const data: string[] = [];
  for (const line of block.split('\n')) {
    if (line.startsWith('id: ')) id = line.slice(4);
    else if (line.startsWith('data: ')) data.push(line.slice(6));
  }
  return data.length === 0 ? null : { id, data: data.join('\n') };
}
