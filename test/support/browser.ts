/**
 * A headless browser for tests of pages. Input: Debian's Chromium; output: pages that record everything that went wrong and
 * every address they asked for. A machine without Chromium fails the test: it does not pass it.
 */
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';

export interface Watched {
  page: Page;
  /** Errors on the console, uncaught exceptions, dialogs. */
  problems: string[];
  /** Every address asked for. */
  asked: string[];
}

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

export function launchBrowser(): Promise<Browser> {
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });
}

export async function watchedPage(browser: Browser, options: BrowserContextOptions = {}): Promise<Watched> {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const problems: string[] = [];
  const asked: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') problems.push(`${message.type()}: ${message.text()}`);
  });
  page.on('pageerror', (error) => problems.push(`exception: ${error.message}`));
  page.on('dialog', (dialog) => {
    problems.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on('request', (request) => asked.push(request.url()));
  return { page, problems, asked };
}
