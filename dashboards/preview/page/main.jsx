// The page of one board: Grafana's geometry, its variables as text, and the panels' answers, which
// came with it.
import '@fontsource/inter/latin-400.css';
import '@fontsource/inter/latin-500.css';
import '@fontsource/roboto-mono/latin-400.css';

import { EventBusSrv, ThemeContext, createTheme } from '@grafana/data';
import { GlobalStyles, PanelChrome, PanelContextProvider } from '@grafana/ui';
import { createRoot } from 'react-dom/client';

import { framesOf } from './frames.js';
import { Panel, rangeOf } from './panels.jsx';

const [COLUMNS, CELL, MARGIN] = [24, 30, 8];
const QUIET = 500; // milliseconds

function Head({ board, theme }) {
  const chip = {
    display: 'inline-flex', border: `1px solid ${theme.colors.border.medium}`, borderRadius: 2, height: 26,
    alignItems: 'center', background: theme.colors.background.primary, padding: '0 8px', gap: 6, fontSize: 12,
  };
  const weak = { color: theme.colors.text.secondary };
  return (
    <div style={{ height: board.head, overflow: 'hidden' }}>
      <div style={{ display: 'flex', justifyContent: 'space-between', alignItems: 'center', height: 38 }}>
        <span style={{ ...theme.typography.h4, margin: 0 }}>{board.title}</span>
        <span style={chip}>{board.span}</span>
      </div>
      <div style={{ display: 'flex', flexWrap: 'wrap', gap: 8 }}>
        {board.variables.map(({ label, text }) => (
          <span key={label} style={chip}><span style={weak}>{label}</span>{text}</span>
        ))}
        {board.annotations.map(({ name, color, times }) => (
          <span key={name} style={{ ...chip, borderColor: 'transparent', background: 'none' }}>
            <span style={{ color: theme.visualization.getColorByName(color) }}>▲</span>
            <span style={weak}>{name}: {times.length}</span>
          </span>
        ))}
      </div>
    </div>
  );
}

function Board({ board, theme }) {
  const range = rangeOf(board);
  const column = (board.width - 2 * board.padding - MARGIN * (COLUMNS - 1)) / COLUMNS;
  return board.panels.map((panel) => {
    const { x, y, w, h } = panel.gridPos;
    const width = column * w + MARGIN * (w - 1);
    const height = CELL * h + MARGIN * (h - 1);
    const place = {
      position: 'absolute', left: board.padding + x * (column + MARGIN),
      top: board.padding + board.head + y * (CELL + MARGIN), width, height,
    };
    if (panel.type === 'row') {
      const [sign, inside] = panel.collapsed ? ['›', ` (${panel.panels.length} panels)`] : ['⌄', ''];
      return <div key={panel.id} style={{ ...place, ...theme.typography.h5 }}>{sign} {panel.title}{inside}</div>;
    }
    return (
      <div key={panel.id} style={place}>
        <PanelChrome
          {...{ width, height, title: panel.title, description: panel.description }}
          displayMode={panel.transparent ? 'transparent' : 'default'} statusMessage={panel.error}
          padding={panel.type === 'table' ? 'none' : 'md'}
        >
          {(innerWidth, innerHeight) => (
            <Panel
              {...{ panel, theme, range, frames: panel.frames, error: panel.undrawn }}
              annotations={board.annotations} width={innerWidth} height={innerHeight}
            />
          )}
        </PanelChrome>
      </div>
    );
  });
}

async function drawn(panel) {
  try {
    return { ...panel, frames: await framesOf(panel) };
  } catch (error) {
    return { ...panel, frames: [], undrawn: error.message };
  }
}

const post = (path, body) => fetch(path, { method: 'POST', body });
const tell = (error) => post('/error', String(error?.stack ?? error));
addEventListener('error', ({ error, message }) => tell(error ?? message));
addEventListener('unhandledrejection', ({ reason }) => tell(reason));

async function main() {
  const board = await (await fetch('/board.json')).json();
  const panels = await Promise.all(board.panels.map(drawn));
  const theme = createTheme({ colors: { mode: board.theme } });
  // Before anything is measured: a font that nothing shows yet is not loaded by itself.
  const fonts = ['400 14px Inter', '500 14px Inter', '400 14px "Roboto Mono"'];
  await Promise.all(fonts.map((font) => document.fonts.load(font)));
  document.body.style.background = theme.colors.background.canvas;
  const context = { eventsScope: 'preview', eventBus: new EventBusSrv() };
  createRoot(document.getElementById('board')).render(
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <PanelContextProvider value={context}>
        <div style={{ padding: board.padding }}><Head {...{ board, theme }} /></div>
        <Board board={{ ...board, panels }} theme={theme} />
      </PanelContextProvider>
    </ThemeContext.Provider>,
  );
}

// Layout, legends and plots follow each other: drawn is what has not changed for a while.
const settled = () =>
  new Promise((resolve) => {
    const done = () => { changes.disconnect(); resolve(); };
    let quiet = setTimeout(done, QUIET);
    const changes = new MutationObserver(() => {
      clearTimeout(quiet);
      quiet = setTimeout(done, QUIET);
    });
    changes.observe(document.body, { subtree: true, childList: true, attributes: true });
  });

main().then(settled).then(() => post('/drawn', ''), tell);
