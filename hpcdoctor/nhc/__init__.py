"""What does a site's nhc.conf say, and what is that in our own files?"""
