"""Programs that Scenery is compared with, each as its own documentation would have one write it."""
