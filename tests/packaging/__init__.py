"""Do the packages hold what they should, and can they be put in and taken away?"""
