"""Pictures of the boards from live data, without a Grafana server.

A board's JSON is filled in and its queries asked here; what they answered is drawn by Grafana's
npm packages in a headless Chromium. It is a preview, made at release time: what a Grafana server
does with a board (import, permissions, plug-ins) it doesn't show.
"""
